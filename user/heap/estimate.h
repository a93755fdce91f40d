/* SPDX-License-Identifier: MIT */
/*
 * estimate: what stays alive of the objects born in windows, where their frees are not seen.
 * L5 correlate. Pure: whoever has the target reads it.
 *
 * Some objects of each place that are alive when a window closes are remembered by their first
 * words. As long as these words are still there after collections the object has not been freed:
 * memory that was given away again holds other pointers, lengths or text. It is a sign, not a
 * proof, so it counts only where the heap as a whole grows too; and before a place is called a
 * leak a census tells which of them somebody still holds (trace/session_confirm.c).
 */
#ifndef LMT_HEAP_ESTIMATE_H
#define LMT_HEAP_ESTIMATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hashmap.h"
#include "base/vec.h"
#include "collect/gcpoll.h"
#include "collect/snapshot.h"
#include "heap.h"

#define ESTIMATE_BYTES 64

struct estimate_sample {
	uint32_t site, state; /* BPF indices */
	uint64_t uaddr;
	uint8_t text[ESTIMATE_BYTES]; /* how it began when the window closed */
	uint32_t n_bytes;
	uint32_t cycle;  /* heap_cycles() of its state when the window closed */
	uint32_t window;
	/* objects of its state that were born in the window and alive when it closed, at most */
	uint64_t survivors;
	uint64_t born_ms; /* since the start */
	uint64_t seen_ms; /* the latest census that told of it, or its birth */
	double blocks, bytes; /* it stands for */
	uint32_t loose;       /* offset of a word that changes while it lives; 0: none */
	bool object;          /* not memory that an object owns */
	bool asked;           /* a census was asked for it, */
	bool answered;        /* …just now… */
	bool fresh;           /* …and never before */
	bool was_held;        /* by the census before that one */
	bool held;            /* the latest census found it on the heap, and held */
	bool changed;         /* it looks different now */
	bool gone;            /* …it was not found, or is another object */
};

/* What is known of the objects of one place. */
struct estimate_place {
	uint32_t site, state; /* BPF indices */
	uint64_t block_bytes; /* of its first */
	unsigned int n_gone;  /* samples that a census did not find… */
	double gone_blocks;   /* …and the blocks they stood for */
	uint64_t walk_ms;     /* the latest census that told of them */
	struct survival survival;
};

struct estimate {
	vec_of(struct estimate_sample) samples;
	vec_of(struct estimate_place) places;
	struct hashmap place_of;  /* site and state → position + 1 in places */
	uint64_t now_ms; /* of the window or census that is being taken in, since the start */
	struct hashmap survivors; /* of the window that is being added: state + 1 → blocks */
	uint32_t windows;
	unsigned int thinned; /* times: each sample stands for 2^thinned that were seen */
	uint32_t confirmed; /* windows before the latest census; 0: none taken */
	bool only_rare;  /* the ledger is whole: verdicts only, where the collector hardly runs */
};

void estimate_deinit(struct estimate *e);

/* A window closes, so many ms since the start of the trace: its places are added next. */
void estimate_open_window(struct estimate *e, uint64_t now_ms);

/* A place whose blocks may be objects, also one that nothing is remembered of. 0 or -ENOMEM. */
int estimate_count(struct estimate *e, const struct snapshot_site *site);

/*
 * Remembers up to SNAPSHOT_SAMPLES objects of a place, which was counted; read() gives n bytes at
 * an address, false when they cannot be read. loose: offset of a word of them that the VM changes
 * as it likes, a link of its lists, or 0. 0 or -ENOMEM.
 */
struct estimate_reader {
	bool (*read)(void *ctx, uint32_t state, uint64_t uaddr, uint8_t *text, uint32_t n);
	bool (*is_object)(void *ctx, const struct snapshot_site *site, uint64_t uaddr);
	void *ctx;
};
int estimate_add(struct estimate *e, const struct snapshot_site *site, uint32_t loose,
		 uint32_t cycle, const struct estimate_reader *r);

/* All places of the window were added. */
void estimate_close_window(struct estimate *e);

/*
 * What a census says of an object: held by somebody or not. Of most kinds the content may change
 * while they live.
 */
void estimate_confirm(struct estimate_sample *s, bool held, enum block_kind kind);

/*
 * That was all that a census, taken at that time since the start of the trace, has to say: samples
 * that are gone are dropped, and pointers to samples are no longer valid.
 */
void estimate_close_walk(struct estimate *e, uint64_t now_ms);

/* Has the heap of the state grown so much that a census may tell what of? */
bool estimate_wants_census(struct gcpoll *gc, uint32_t index);

/* Looks at all samples again. */
void estimate_check(struct estimate *e, const struct estimate_reader *r);

/*
 * Gives the sites of the heap their estimated live bytes and verdicts. scale: calls of the
 * allocators for each that was seen; seconds: since the start.
 */
void estimate_apply(const struct estimate *e, struct heap *h, struct gcpoll *gc, double scale,
		    double seconds);

#endif
