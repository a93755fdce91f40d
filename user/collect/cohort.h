/* SPDX-License-Identifier: MIT */
/*
 * cohort: the blocks of one place that are alive and old, by when they were born. L4 collect.
 *
 * One look at the ledger tells the history of a place: of what it made in each stretch of the
 * trace, how much is alive still although collections have passed over it. A leak has kept as much
 * of each stretch; a ring has nothing left of the early ones, a cache that is full nothing of the
 * late ones. The stretches are equal in work, not in time: a busy machine slows a program down and
 * an idle program does nothing, but it leaks by what it does.
 */
#ifndef LMT_COLLECT_COHORT_H
#define LMT_COLLECT_COHORT_H

#include <stdbool.h>
#include <stdint.h>

#define COHORTS 12
#define COHORT_CYCLES 3 /* completed GC cycles after which a block counts as old */

struct cohorts {
	uint64_t blocks[COHORTS];
	uint64_t bytes[COHORTS];
};

/*
 * All that is alive, old or not, by time of birth: stretches that are as long for all sites, and as
 * long as need be for these to reach from the start of the trace to now.
 */
#define BIRTH_STRETCHES 48
#define BIRTH_STRETCH_MS 1000 /* the shortest stretch */

struct births {
	uint32_t blocks[BIRTH_STRETCHES];
};

/* The length of the stretches at that time, in ms since the start of the trace. */
static inline uint32_t births_width(uint64_t now_ms)
{
	uint64_t width = BIRTH_STRETCH_MS;

	while (now_ms >= width * BIRTH_STRETCHES)
		width *= 2;
	return (uint32_t)width;
}

/* Of one state: which blocks are old, and the stretches its trace is divided into. */
struct age_window {
	bool known;          /* enough collections have passed; else nothing below is valid */
	bool swept;          /* what the latest of them found dead has been freed too */
	uint32_t cycle;      /* blocks born in this cycle or before it are old */
	bool generational;   /* most collections are minor ones, which free nothing that is old */
	uint32_t cycles;     /* collections in the stretches; generational: full ones in the trace */
	uint32_t certified;  /* stretches that a full collection has passed over */
	uint64_t edge_ms[COHORTS + 1]; /* since the start of the trace */
	uint64_t work;       /* blocks the state allocated in all stretches */
	double share;        /* of all that it allocated in the trace */
	bool settled;        /* what was garbage before the trace is gone: turnover is valid */
	double turnover;     /* blocks that predate the trace, freed for each block allocated since */
	double late_turnover; /* the same from the middle of the stretches on */
};

/* Which stretch a block belongs to, by its birth. */
static inline unsigned int cohort_of(const struct age_window *w, uint64_t ms)
{
	unsigned int i = 0;

	while (i < COHORTS - 1 && ms >= w->edge_ms[i + 1])
		i++;
	return i;
}

#endif
