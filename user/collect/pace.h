/* SPDX-License-Identifier: MIT */
/*
 * pace: how much a state had done by when: allocations, and frees of what predates the trace.
 * A history of bounded size: when it is full every second point goes. L4 collect. Pure.
 */
#ifndef LMT_COLLECT_PACE_H
#define LMT_COLLECT_PACE_H

#include <stdint.h>

#define PACE_POINTS 128

struct pace_point {
	uint64_t ms;        /* since the start of the trace */
	uint64_t work;      /* blocks allocated until then; what C took counts where it is followed */
	uint64_t old_frees; /* blocks freed that predate the trace */
};

struct pace {
	struct pace_point p[PACE_POINTS];
	uint32_t n;
	uint32_t every, skipped; /* one of so many points is kept */
};

/* Points come in order of time. */
void pace_add(struct pace *p, const struct pace_point *point);

/* The point at a time, between two known ones by proportion. Zeroes when nothing is known. */
struct pace_point pace_at(const struct pace *p, uint64_t ms);

/* When the work was done: the inverse of pace_at(). */
uint64_t pace_when(const struct pace *p, uint64_t work);

#endif
