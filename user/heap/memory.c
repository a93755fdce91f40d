/* SPDX-License-Identifier: MIT */
#include "memory.h"

#include <string.h>

#define QUARTERS 4
#define GROWTH_POINTS 4
#define GROWTH_MS 4000     /* the shortest time from which a rate is told */
#define RISES_MS 20000     /* …from which it is believed to go on */
#define WARM_MS 2000       /* what a process does when it is looked at first is not judged */
#define NOISE_BYTES (256u << 10)
#define EVEN 3             /* each quarter brings a third of the mean at least */

const char *memory_part_key(enum memory_part p)
{
	static const char *const key[] = {
#define MEMORY_KEY(id, k, text) k,
		MEMORY_PARTS(MEMORY_KEY)
#undef MEMORY_KEY
	};

	return key[p];
}

const char *memory_part_text(enum memory_part p)
{
	static const char *const text[] = {
#define MEMORY_TEXT(id, key, t) t,
		MEMORY_PARTS(MEMORY_TEXT)
#undef MEMORY_TEXT
	};

	return text[p];
}

static void thin_out(struct memory_series *s)
{
	for (unsigned int i = 1; i < MEMORY_POINTS / 2; i++)
		s->p[i] = s->p[2 * i];
	s->n = MEMORY_POINTS / 2;
	s->step_ms *= 2;
}

/* The latest is always there, also when it came too early to be kept. */
static void drop_early(struct memory_series *s)
{
	if (s->n > 1 && s->p[s->n - 1].ms - s->p[s->n - 2].ms < s->step_ms)
		s->n--;
}

void memory_series_add(struct memory_series *s, const struct memory_point *p)
{
	drop_early(s);
	if (s->n == MEMORY_POINTS)
		thin_out(s);
	s->p[s->n++] = *p;
}

void memory_series_roll(struct memory_series *s, const struct memory_point *p)
{
	drop_early(s);
	if (s->n == MEMORY_POINTS)
		memmove(s->p, s->p + 1, --s->n * sizeof(*s->p));
	s->p[s->n++] = *p;
}

static uint64_t value(const struct memory_point *p, enum memory_part part)
{
	return part == MEMORY_MAX ? p->rss : p->part[part];
}

struct stretch {
	uint64_t low, ms; /* the lowest value, and when */
	bool any;
};

/* The lowest value in each quarter of [from_ms, to_ms]; false: one has none. */
static bool quarters(const struct memory_series *s, enum memory_part part, uint64_t from_ms,
		     uint64_t to_ms, struct stretch q[QUARTERS])
{
	bool all = true;

	memset(q, 0, QUARTERS * sizeof(*q));
	for (unsigned int i = 0; i < s->n; i++) {
		const struct memory_point *p = &s->p[i];
		uint64_t v = value(p, part);
		struct stretch *at;

		if (p->ms < from_ms)
			continue;
		at = &q[(p->ms - from_ms) * QUARTERS / (to_ms - from_ms + 1)];
		if (!at->any || v < at->low)
			*at = (struct stretch){ v, p->ms, true };
	}
	for (unsigned int i = 0; i < QUARTERS; i++)
		all &= q[i].any;
	return all;
}

static double rate(const struct stretch *a, const struct stretch *b)
{
	double by = (double)b->low - (double)a->low;

	return b->ms > a->ms ? by * 1000 / (double)(b->ms - a->ms) : 0;
}

bool memory_growth_known(const struct memory_series *s)
{
	return s->n >= GROWTH_POINTS && s->p[s->n - 1].ms - s->p[0].ms >= GROWTH_MS;
}

/* The lowest of the points [from, to). */
static struct stretch lowest(const struct memory_series *s, enum memory_part part,
			     unsigned int from, unsigned int to)
{
	struct stretch low = { value(&s->p[from], part), s->p[from].ms, true };

	for (unsigned int i = from + 1; i < to; i++)
		if (value(&s->p[i], part) < low.low)
			low = (struct stretch){ value(&s->p[i], part), s->p[i].ms, true };
	return low;
}

double memory_growth(const struct memory_series *s, enum memory_part part)
{
	struct stretch early, late;

	if (!memory_growth_known(s))
		return 0;
	early = lowest(s, part, 0, s->n / 2);
	late = lowest(s, part, s->n / 2, s->n);
	return rate(&early, &late);
}

static double rises_since(const struct memory_series *s, enum memory_part part, uint64_t from_ms)
{
	uint64_t to_ms = s->p[s->n - 1].ms;
	struct stretch q[QUARTERS];
	double mean;

	if (to_ms < from_ms + RISES_MS || !quarters(s, part, from_ms, to_ms, q))
		return 0;
	mean = ((double)q[QUARTERS - 1].low - (double)q[0].low) / (QUARTERS - 1);
	if (mean * (QUARTERS - 1) < NOISE_BYTES || mean * 200 < (double)q[0].low)
		return 0;
	for (unsigned int i = 1; i < QUARTERS; i++)
		if ((double)q[i].low - (double)q[i - 1].low < mean / EVEN)
			return 0;
	return rate(&q[0], &q[QUARTERS - 1]);
}

/* Over the whole time, or, where something filled at first, over its second half. */
double memory_rises(const struct memory_series *s, enum memory_part part)
{
	uint64_t first_ms = s->n ? s->p[0].ms + WARM_MS : 0;
	double whole = s->n ? rises_since(s, part, first_ms) : 0;

	if (whole || !s->n || s->p[s->n - 1].ms < first_ms)
		return whole;
	return rises_since(s, part, first_ms + (s->p[s->n - 1].ms - first_ms) / 2);
}
