/* SPDX-License-Identifier: MIT */
#include "verdict.h"

#include <stdbool.h>

#define NOISE_BYTES 1024   /* growth below this is nothing */
#define MIN_BLOCKS 6       /* fewer blocks have no distribution */
#define LEAK_BLOCKS 12     /* fewer blocks may be chance */
#define MANY_BLOCKS 300    /* from here on chance moves a third of the trace by a few percent */
#define LEAK_MS 1000       /* a shorter stretch is a burst of work, or a cache that fills */
#define FULL_CYCLES 3      /* full collections that a leak must have been seen to outgrow */
#define GEN_CYCLES 2       /* …of a generational collector: each waits until the heap has doubled */
#define CERTIFIED (COHORTS / 3) /* stretches that a full collection must have passed over */
#define KEPT_SHARE 0.5     /* of what was born: less may be dead before a full collection */
#define TURNOVER_SHARE 0.5 /* old blocks that go for each one that stays: the heap turns over */
#define WHOLE_SHARE 0.5    /* of the mean: what the first stretch made is there still */
#define MIN_POINTS 4       /* of a trend */
#define RISING_SHARE 4     /* at least 3 of 4 steps must not fall */
#define PLATEAU_SHARE 3    /* later half below 1/3 of the earlier: levelling off */
#define BURSTS 4           /* that a leak by bursts must show */

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

static double rate(const struct trend_point *a, const struct trend_point *b)
{
	double s = (double)(b->time_ns - a->time_ns) / 1e9;

	return s > 0 ? ((double)b->old_bytes - (double)a->old_bytes) / s : 0;
}

/* Bytes per second while the old bytes have risen and still do, else 0. */
static double trend_growth(const struct trend *t)
{
	const struct trend_point *first, *mid, *last;
	uint32_t from = 0, rising = 0;

	while (from < t->n && !t->p[from].old_bytes)
		from++; /* before the first block was old there was nothing to see */
	if (from + MIN_POINTS > t->n)
		return 0;
	first = &t->p[from];
	mid = &t->p[from + (t->n - from) / 2];
	last = &t->p[t->n - 1];
	for (uint32_t i = from + 1; i < t->n; i++)
		rising += t->p[i].old_bytes >= t->p[i - 1].old_bytes;
	if (last->old_bytes < first->old_bytes + NOISE_BYTES ||
	    rising * RISING_SHARE < (t->n - from - 1) * (RISING_SHARE - 1) ||
	    rate(mid, last) * PLATEAU_SHARE < rate(first, mid))
		return 0;
	return rate(first, last);
}

/* How the blocks lie over the stretches. */
struct spread {
	uint64_t blocks, bytes;
	uint64_t early, middle, late;     /* blocks by thirds */
	unsigned int filled, bursts;      /* stretches with blocks; groups of such */
	unsigned int lead, tail, gap;     /* empty ones: before, after, at most between */
	bool whole;                       /* the first stretch has its share */
};

static struct spread spread_of(const struct cohorts *c)
{
	struct spread s = { 0 };
	unsigned int empty = 0;

	for (unsigned int i = 0; i < COHORTS; i++) {
		uint64_t *third = i < COHORTS / 3 ? &s.early
				: i < 2 * COHORTS / 3 ? &s.middle : &s.late;

		s.blocks += c->blocks[i];
		s.bytes += c->bytes[i];
		*third += c->blocks[i];
		if (!c->blocks[i]) {
			empty++;
			continue;
		}
		if (!s.filled)
			s.lead = empty;
		else if (empty > s.gap)
			s.gap = empty;
		s.bursts += !s.filled || empty;
		s.filled++;
		empty = 0;
	}
	s.tail = empty;
	s.whole = c->blocks[0] * COHORTS >= WHOLE_SHARE * (double)s.blocks;
	return s;
}

/* Nothing is missing at either end that is not missing as much in between. */
static bool reaches_both_ends(const struct spread *s)
{
	unsigned int gap = s->gap > 1 ? s->gap : 1;

	return s->lead <= gap && s->tail <= gap;
}

/*
 * As much is left of the first third as of the last: no deaths, no plateau. Of bursts one more or
 * less may fall into a third.
 */
static bool is_even(const struct spread *s)
{
	double late = s->gap ? 0.5 : s->blocks < MANY_BLOCKS ? 0.6 : 0.75;

	return (double)s->late >= late * (double)s->early && s->early * 2 >= s->late &&
	       s->middle * 2 >= s->early && s->middle * 2 >= s->late;
}

/*
 * Do blocks that predate the trace go as fast as these come? Then it may be a slow ring. Those that
 * went at first only were of something else, a quick ring, unless these begin when they went.
 */
static bool turns_over(const struct spread *s, const struct age_window *w)
{
	double turnover = s->whole ? w->late_turnover : w->turnover;

	return turnover * (double)w->work >= TURNOVER_SHARE * (double)s->blocks;
}

/*
 * A generational collector keeps what has survived two minor collections until the next full one,
 * dead or not: some of each stretch is left of what is healthy too.
 */
static bool is_certain(const struct spread *s, const struct age_window *w, uint64_t allocs)
{
	return w->certified >= CERTIFIED ||
	       (double)s->blocks >= KEPT_SHARE * w->share * (double)allocs;
}

bool verdict_is_due(const struct age_window *w)
{
	unsigned int cycles = w->generational ? GEN_CYCLES : FULL_CYCLES;

	return w->edge_ms[COHORTS] >= w->edge_ms[0] + LEAK_MS && w->certified >= CERTIFIED &&
	       w->cycles >= cycles && w->settled;
}

static enum verdict judge(const struct spread *s, const struct age_window *w, uint64_t allocs,
			  bool trend_grows)
{
	if (s->blocks < MIN_BLOCKS)
		return trend_grows ? VERDICT_GROWING : VERDICT_STABLE;
	if (!reaches_both_ends(s) || s->late * PLATEAU_SHARE < s->early)
		return trend_grows && s->tail <= s->gap + 1 ? VERDICT_GROWING : VERDICT_STABLE;
	if (s->early * 2 < s->late && !trend_grows)
		return VERDICT_STABLE;
	if (!is_certain(s, w, allocs))
		return VERDICT_YOUNG;
	if (!verdict_is_due(w) || !is_even(s) || s->blocks < LEAK_BLOCKS || turns_over(s, w) ||
	    (s->filled < COHORTS / 2 && s->bursts < BURSTS))
		return VERDICT_GROWING;
	return VERDICT_LEAK;
}

enum verdict verdict_of(const struct cohorts *old, const struct age_window *w,
			uint64_t allocs, const struct trend *t, double *growth_ret)
{
	struct spread s = spread_of(old);
	enum verdict v;
	double growth;

	*growth_ret = 0;
	if (!w->known || !s.blocks)
		return VERDICT_YOUNG;
	if (s.bytes < NOISE_BYTES)
		return VERDICT_STABLE;
	growth = trend_growth(t);
	v = judge(&s, w, allocs, growth > 0);
	if (v < VERDICT_GROWING)
		return v;
	if (s.blocks >= MIN_BLOCKS && w->edge_ms[COHORTS] > w->edge_ms[0])
		growth = (double)s.bytes * 1000 / (double)(w->edge_ms[COHORTS] - w->edge_ms[0]);
	*growth_ret = growth;
	return v;
}
