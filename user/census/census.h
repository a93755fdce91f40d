/* SPDX-License-Identifier: MIT */
/*
 * census: what is on the Lua heaps of a process, who holds it, and what looks wrong about it.
 * The stage between collect and heap: reads a copy of the target's memory, sets no probes, gives
 * strings and numbers only. Must not know how it is printed.
 */
#ifndef LMT_CENSUS_CENSUS_H
#define LMT_CENSUS_CENSUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/strpool.h"
#include "base/vec.h"
#include "copy.h"
#include "path.h"
#include "resolve/runtime.h"
#include "walk.h"

enum census_by {
	CENSUS_BY_ORIGIN, /* what says most about each kind: the default */
	CENSUS_BY_TYPE, CENSUS_BY_SITE, CENSUS_BY_PROTO, CENSUS_BY_SIZE, CENSUS_BY_METATABLE,
	CENSUS_BY_CTYPE
};

/*
 * An object asked for by address, and what came out. The state is told by its global_State: an
 * address may have been another state's before.
 */
enum census_answer {
	CENSUS_NOT_KNOWN, /* the state's heap could not be walked */
	CENSUS_ABSENT,   /* no object begins there */
	CENSUS_UNHELD,   /* garbage that waits for the collector */
	CENSUS_HELD,
};
struct census_ask {
	uint64_t G, uaddr;
	bool wants_path;
	size_t group;            /* a few of each get their path */
	enum census_answer answer;
	enum census_kind kind;   /* of an object that is there */
	struct census_path path; /* of what is held; where no object begins, of the table it is a part of */
	uint64_t order;          /* in the list of all objects, the newest is 1; 0: not on it */
};

struct census_options {
	enum census_by by;
	uint64_t top;            /* holders to name */
	uint64_t only_state;     /* number from 1; 0: all */
	uint64_t pause_budget_ns; /* 0: never stop the target */
	uint64_t cpu_budget_ns;  /* of this thread, then it is given up; 0: no limit */
	bool show_strings;       /* strings by how they begin; else their text stays unseen */
	bool folded;
	bool light;              /* only what `list` shows: no paths, no groups, few tries */
	vec_of(uint64_t) paths;  /* objects to name, by address */
	struct census_ask *asks; /* NULL: none; else nothing but these is told */
	size_t n_asks;
};

struct census_group {
	enum census_kind kind;
	bool dead;          /* nobody holds them: waiting for the collector */
	uint32_t origin;    /* string id; 0: none */
	uint64_t count, bytes;
	uint32_t example;   /* object that stands for it, while the state is being looked at */
	struct census_path path;
};

/* One object, and who holds it. */
struct census_holder {
	uint64_t uaddr, bytes, retained;
	enum census_kind kind;
	bool dead, asked_for;
	uint32_t origin;
	struct census_path path;
};

enum census_finding_kind { CENSUS_FOREIGN_NODES, CENSUS_DANGLING };

/* What a pointer in C data points at. */
enum census_dangling { CENSUS_PTR_NOTHING, CENSUS_PTR_FREED, CENSUS_PTR_UNHELD, CENSUS_PTR_RECYCLED };

struct census_finding {
	enum census_finding_kind kind;
	uint64_t count;
	uint32_t owner, foreign;  /* module paths */
	uint32_t ctype, field;   /* dangling: type, "" or the member */
	uint64_t uaddr, target;  /* the cdata, and where it points */
	enum census_dangling wrong;
	uint32_t block_kind;     /* the object there: string id, 0: none */
	bool crashes;            /* this release frees the static node */
	struct census_path path;
};

struct census_stack { /* of the reference flame graph */
	uint32_t text;       /* "registry;.cache;[*];table" */
	uint64_t bytes, count;
};

struct census_state {
	uint32_t index;          /* in resolved.states */
	const struct layout *row;
	bool done;
	bool gone;               /* closed while the census went on */
	uint32_t refused;        /* string id: why there is nothing */
	unsigned int alike;      /* copies of a target at rest that were refused for just that */
	bool stopped;            /* told from a stopped target, else from one that stood still */
	uint64_t vm_bytes;
	int64_t difference;      /* VM's total minus what was found */
	uint64_t objects, live_objects, live_bytes, dead_objects, dead_bytes;
	uint64_t part_bytes[CENSUS_PART_MAX];
	uint64_t absent_bytes;   /* of large blocks: never touched, or swapped out */
	uint32_t coroutines;
	uint32_t label;          /* string id: what its program uses it for; 0: not told */
	uint64_t walk_ns, reach_ns, group_ns, retained_ns;
	vec_of(struct census_group) groups;     /* by size */
	vec_of(struct census_holder) holders;   /* by what they retain */
	vec_of(struct census_finding) findings;
	vec_of(struct census_stack) stacks;
};

struct census {
	const struct target *target;
	const struct resolved *resolved;
	const struct memread *mem;
	const struct census_options *opt;
	struct strpool *pool;
	struct copier copier;
	vec_of(struct census_state) states;
	bool sparse;             /* only what is Lua's is copied */
	uint64_t copied_bytes, estimate_ns;
	uint64_t begun_cpu_ns;
	const char *not_stopped; /* why the target was not stopped although that would have helped */
	char not_stopped_text[600];
};

/*
 * Takes the census of all states. What could not be told of a state is said in it; an error means
 * that nothing can be told: -ESRCH the process has ended, -ENOMEM, -EPERM.
 */
int census_take(struct census *c, struct errmsg *err);
void census_init(struct census *c, const struct target *t, const struct memread *mem,
		 const struct resolved *r, const struct census_options *opt);
void census_deinit(struct census *c);

/* --- parts: each fills in one thing of a state whose heap was walked --- */
int census_group(struct census *c, struct census_state *s, struct reach *r);
int census_answer_asks(struct census *c, struct census_state *s, struct reach *r);
bool census_asks_of(const struct census *c, uint64_t G);
void census_drop_answers(struct census *c);
int census_hold(struct census *c, struct census_state *s, struct reach *r);
int census_fold(struct census *c, struct census_state *s, struct reach *r);
int census_find(struct census *c, struct census_state *s, struct reach *r);

/* What the program of the state uses it for, by a table of programs; 0: not told. */
uint32_t census_label(struct census *c, const struct walk *w);

/* "app.lua:12", where a thread that does not run stands, or the function it will begin with. */
uint32_t census_thread_origin(const struct walk *w, uint64_t thread, struct strpool *pool);

/* What an object's metatable calls its type: __name, else the name in the registry. */
struct census_names {
	const struct walk *w;
	struct strpool *pool;
	struct hashmap by_meta; /* metatable → 1 + string id */
	bool registry_read;
};
uint32_t census_type_name(struct census_names *n, uint64_t meta);
void census_names_deinit(struct census_names *n);
uint64_t census_metatable_of(const struct walk *w, const struct census_object *o);

/* "struct point", "char[1024]", "int *": a C type as the FFI knows it. */
uint32_t census_ctype_name(const struct walk *w, uint32_t id, struct strpool *pool);

#endif
