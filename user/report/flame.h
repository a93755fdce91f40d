/* SPDX-License-Identifier: MIT */
/*
 * flame: a report's stacks as a tree, outermost frames first; what the folded, SVG and HTML
 * writers draw. L6 report. Pure.
 *
 * A tree may take two reports of one run: the earlier one as the base of a comparison.
 */
#ifndef LMT_REPORT_FLAME_H
#define LMT_REPORT_FLAME_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/hashmap.h"
#include "base/strpool.h"
#include "base/vec.h"
#include "model.h"

enum metric { METRIC_INUSE_SPACE, METRIC_INUSE_OBJECTS, METRIC_ALLOC_SPACE, METRIC_ALLOC_OBJECTS,
	      METRIC_MAX };

const char *metric_name(enum metric m); /* "inuse_space" */
const char *metric_unit(enum metric m); /* "bytes", "count" */
const char *metric_title(enum metric m); /* for people */

/* What colour tells apart. */
enum flame_class { FLAME_ROOT, FLAME_LUA, FLAME_JIT, FLAME_C, FLAME_GC, FLAME_NOTE };

struct flame_node {
	uint32_t parent;      /* index; the root's is itself, 0 */
	uint32_t first_child; /* 0: none */
	uint32_t next;        /* sibling; 0: none */
	uint32_t label;       /* in flame.text; raw text of the target */
	uint32_t class;       /* enum flame_class */
	uint32_t depth;
	uint64_t self[METRIC_MAX], total[METRIC_MAX];
};

/* What one state and kind of block has at one node. */
struct flame_sample {
	uint32_t node, state, kind; /* state, kind: positions in flame.states, flame.kinds */
	uint64_t now[METRIC_MAX], base[METRIC_MAX];
};

struct flame_state {
	pid_t pid;
	uint32_t state;
};

struct flame {
	struct strpool *text;
	vec_of(struct flame_node) nodes; /* a parent comes before its children */
	struct hashmap node_by_key;      /* (parent, label, class) → index */
	vec_of(struct flame_sample) samples;
	struct hashmap sample_by_key;    /* (node, state, kind) → position + 1 */
	vec_of(struct flame_state) states;
	vec_of(const char *) kinds;
	uint64_t base_realtime_ns;       /* 0: no base */
	bool many_states;                /* states are a level of the tree */
};

/* *ret is the caller's, to be given to flame_free(). -ENOMEM. */
int flame_new(struct flame **ret);
void flame_free(struct flame *f);

/* Adds a report's stacks, as the base or as what is now. Once each. -ENOMEM. */
int flame_add(struct flame *f, const struct report *r, bool base);

/* Sums up; before any writer. */
void flame_finish(struct flame *f);

/* "handler app.lua:12": what a frame is called in every graph. */
void flame_frame_text(const struct report_frame *f, char *buf, size_t size);
enum flame_class flame_frame_class(const struct report_frame *f);

/* The same without directories, for a narrow box. */
void flame_short_text(const char *label, char *buf, size_t size);

/* The tree's nodes with stack;of;frames and a number, one a line. */
void folded_write(const struct flame *f, enum metric m, FILE *out);

/* A picture that is complete without scripts; with them it zooms and searches. */
void svg_write(const struct flame *f, const struct report *r, enum metric m, FILE *out);

/* A page of its own: no network. nonce: a random word that lets its own script run. */
void html_write(const struct flame *f, const struct report *r, enum metric m, const char *nonce,
		FILE *out);

/* Its parts, for a page with more on it: where the graph is drawn, what it draws, the script. */
void html_put_graph(const struct flame *f, enum metric m, FILE *out);
void html_put_data(const struct flame *f, const struct report *r, enum metric m, FILE *out);
extern const char html_js[], html_css[];

/* Gzipped profile.proto. 0 or a negative errno. */
int pprof_write(const struct report *r, FILE *out);

#endif
