/* SPDX-License-Identifier: MIT */
#include "verdict.h"

#include <string.h>

#define MIN_POINTS 4       /* before anything is said about growth */
#define LEAK_POINTS 6      /* before growth is called a leak */
#define LEAK_CYCLES 4      /* GC cycles that must lie between the first and the last point */
#define NOISE_BYTES 1024   /* growth below this is nothing */
#define NOISE_SHARE 16     /* …as is growth below 1/16 of what was there */
#define PLATEAU_SHARE 3    /* later half below 1/3 of the earlier: levelling off */
#define RISING_SHARE 4     /* at least 3 of 4 steps must not fall */

const char *verdict_name(enum verdict v)
{
	static const char *const names[] = { "young", "stable", "growing", "leak" };

	return names[v];
}

static void thin_out(struct trend *t)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < t->n; i += 2)
		t->p[kept++] = t->p[i];
	t->n = kept;
}

void trend_add(struct trend *t, uint64_t time_ns, uint64_t old_bytes, uint32_t cycle)
{
	struct trend_point point = { time_ns, old_bytes, cycle };

	if (t->n && t->p[t->n - 1].cycle == cycle) {
		t->p[t->n - 1] = point;
		return;
	}
	if (t->n == TREND_POINTS)
		thin_out(t);
	t->p[t->n++] = point;
}

/* Steps that do not fall. */
static uint32_t rising_steps(const struct trend *t, uint32_t first)
{
	uint32_t n = 0;

	for (uint32_t i = first + 1; i < t->n; i++)
		n += t->p[i].old_bytes >= t->p[i - 1].old_bytes;
	return n;
}

static double rate(const struct trend_point *a, const struct trend_point *b)
{
	double s = (double)(b->time_ns - a->time_ns) / 1e9;

	return s > 0 ? ((double)b->old_bytes - (double)a->old_bytes) / s : 0;
}

enum verdict trend_judge(const struct trend *t, double *growth_ret)
{
	const struct trend_point *first, *mid, *last;
	uint32_t from = 0, steps;
	double early, late;
	int64_t grown;

	*growth_ret = 0;
	while (from < t->n && !t->p[from].old_bytes)
		from++; /* before the first block was old there was nothing to see */
	if (from == t->n)
		return VERDICT_YOUNG;
	steps = t->n - from - 1;
	if (steps + 1 < MIN_POINTS)
		return VERDICT_YOUNG;
	first = &t->p[from];
	last = &t->p[t->n - 1];
	mid = &t->p[from + (t->n - from) / 2];
	early = rate(first, mid);
	late = rate(mid, last);
	grown = (int64_t)(last->old_bytes - first->old_bytes);
	if (grown < NOISE_BYTES || (uint64_t)grown < first->old_bytes / NOISE_SHARE ||
	    late * PLATEAU_SHARE < early || late <= 0)
		return VERDICT_STABLE;
	*growth_ret = late;
	if (rising_steps(t, from) * RISING_SHARE < steps * (RISING_SHARE - 1))
		return VERDICT_STABLE;
	if (steps + 1 < LEAK_POINTS || last->cycle - first->cycle < LEAK_CYCLES)
		return VERDICT_GROWING;
	return VERDICT_LEAK;
}
