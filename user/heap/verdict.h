/* SPDX-License-Identifier: MIT */
/*
 * verdict: does what a site keeps alive grow over garbage collections, or has it levelled off?
 * L5 correlate. Pure.
 *
 * In a garbage-collected heap everything is "outstanding". What counts are blocks that outlived
 * several completed cycles, and whether they keep growing beyond warm-up: a cache fills and stops.
 */
#ifndef LMT_HEAP_VERDICT_H
#define LMT_HEAP_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

#include "collect/cohort.h"

enum verdict { VERDICT_YOUNG, VERDICT_STABLE, VERDICT_GROWING, VERDICT_LEAK };

const char *verdict_name(enum verdict v);

#define TREND_POINTS 32

/* Old bytes of one site over time; when full every second point is dropped. */
struct trend {
	struct trend_point {
		uint64_t time_ns;
		uint64_t old_bytes;
		uint32_t cycle; /* of the state */
	} p[TREND_POINTS];
	uint32_t n;
};

/* Adds a point unless the cycle is that of the point before, which it replaces then. */
void trend_add(struct trend *t, uint64_t time_ns, uint64_t old_bytes, uint32_t cycle);

/* Have enough collections passed for anything to be called a leak? */
bool verdict_is_due(const struct age_window *w);

/*
 * old: what is alive of each stretch of the trace; w: the stretches; allocs: all that the site
 * allocated in the trace; t: how its old bytes came to be what they are. growth_ret: bytes per
 * second, 0 unless it grows.
 */
enum verdict verdict_of(const struct cohorts *old, const struct age_window *w,
			uint64_t allocs, const struct trend *t, double *growth_ret);

#endif
