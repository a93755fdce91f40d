/* SPDX-License-Identifier: MIT */
/*
 * gcpoll: heap size, collector state and completed cycles of each state, read from outside at
 * intervals: no probe, no stop. L4 collect.
 *
 * The collector's current white flips exactly once a cycle, in its atomic phase, in every version
 * of PUC Lua and LuaJIT. A poll sees whether their number is even or odd; BPF counts the full
 * collections as they begin. Steps that follow each other faster than the polls are counted as
 * fewer: the count is a lower bound, which makes "survived N cycles" one too.
 *
 * A generational collector flips for its minor collections too. They free nothing that is old,
 * so what survived them alone may be dead: only a full collection between birth and now tells.
 */
#ifndef LMT_COLLECT_GCPOLL_H
#define LMT_COLLECT_GCPOLL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hashmap.h"
#include "base/vec.h"
#include "cohort.h"
#include "gc_stall.h"
#include "heap_trend.h"
#include "pace.h"
#include "resolve/states.h"

struct lmt_state;

#define GCPOLL_FLIPS 8

/* Between which sizes the heap was: what a look now and then would see of its sawtooth by chance. */
struct gc_range {
	uint64_t low, high;
};

struct gcpoll_state {
	uint32_t index;  /* in the table of states */
	uint64_t G;
	const struct lmt_layout *layout;
	const struct memread *mem;
	struct state_gc gc; /* latest */
	uint32_t cycles;
	uint32_t due; /* full collections of these whose flip was not seen yet: 0 or 1 */
	uint64_t calls; /* of its allocator, when it was polled last */
	bool polled;
	bool built;     /* it was seen to be a state */
	uint32_t tries; /* how often not, before that */
	bool gone; /* closed, or its memory cannot be read any more or holds something else */

	bool swept;                      /* since the latest flip */
	uint64_t flip_ms[GCPOLL_FLIPS];  /* when cycles became its value, modulo */
	uint32_t fulls;                  /* full collections */
	uint64_t full_ms, full_estimate; /* of the latest; what was born before had to be reachable */
	uint32_t floors;                 /* sweeps seen to their end; the heap after first and last */
	uint64_t floor_first, floor_last;
	uint64_t second;                 /* since the start, of range[0]; range[1]: the one before */
	struct gc_range range[2];
	bool settled;                    /* garbage that predates the trace is gone */
	struct pace_point settled_at;
	struct gc_stall stall;
	struct heap_trend trend;
	struct pace *pace;               /* NULL until the state does anything */
};

struct gcpoll {
	bool always; /* calls may go unseen: a state that seems idle is polled too */
	vec_of(struct gcpoll_state) states;
	struct hashmap by_index; /* index → position + 1; 0: not followed */
};

/* Starts to follow a state; mem must stay valid until gcpoll_deinit(). 0 or -ENOMEM. */
int gcpoll_add(struct gcpoll *p, uint32_t index, uint64_t G, const struct lmt_layout *layout,
	       const struct memread *mem);
void gcpoll_deinit(struct gcpoll *p);

/*
 * Reads every state once. table: the BPF side's entries, which count the cycles; now_ms:
 * since the start of the trace.
 */
void gcpoll_run(struct gcpoll *p, struct lmt_state *table, uint32_t n, uint64_t now_ms);

/* Heap's lowest and highest size over the last second or two; its present size if not known. */
struct gc_range gcpoll_range(const struct gcpoll_state *s);

/*
 * The heap right after its latest collection, as far as that was seen; before the first one what
 * the collector itself estimated; 0: not known.
 */
uint64_t gcpoll_floor(const struct gcpoll_state *s);

/* The followed state of the index, or NULL. */
struct gcpoll_state *gcpoll_find(struct gcpoll *p, uint32_t index);

/* The state is gone and its index may be given away again. */
void gcpoll_remove(struct gcpoll *p, uint32_t index);

/* Which of a state's blocks are old by now. */
void gcpoll_window(const struct gcpoll_state *s, struct age_window *ret);

/* Where the VM's table of all strings lies now; 0 when it cannot be read. */
uint64_t gcpoll_string_table(const struct gcpoll_state *s);

#endif
