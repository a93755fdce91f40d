/* SPDX-License-Identifier: MIT */
#include "pace.h"

static void thin_out(struct pace *p)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < p->n; i += 2)
		p->p[kept++] = p->p[i];
	p->n = kept;
	p->every *= 2;
}

void pace_add(struct pace *p, const struct pace_point *point)
{
	if (!p->every)
		p->every = 1;
	if (p->n > 1 && ++p->skipped < p->every) {
		p->p[p->n - 1] = *point; /* the latest is always known */
		return;
	}
	p->skipped = 0;
	if (p->n == PACE_POINTS)
		thin_out(p);
	p->p[p->n++] = *point;
}

static uint64_t between(uint64_t from, uint64_t to, uint64_t part, uint64_t whole)
{
	return whole ? from + (uint64_t)((double)(to - from) * (double)part / (double)whole) : from;
}

struct pace_point pace_at(const struct pace *p, uint64_t ms)
{
	const struct pace_point *a, *b;
	uint32_t i = 0;

	if (!p->n)
		return (struct pace_point){ .ms = ms };
	while (i < p->n && p->p[i].ms <= ms)
		i++;
	if (i == p->n)
		return p->p[p->n - 1];
	if (!i)
		return p->p[0];
	a = &p->p[i - 1];
	b = &p->p[i];
	return (struct pace_point){
		.ms = ms,
		.work = between(a->work, b->work, ms - a->ms, b->ms - a->ms),
		.old_frees = between(a->old_frees, b->old_frees, ms - a->ms, b->ms - a->ms),
	};
}

uint64_t pace_when(const struct pace *p, uint64_t work)
{
	const struct pace_point *a, *b;
	uint32_t i = 0;

	if (!p->n)
		return 0;
	while (i < p->n && p->p[i].work <= work)
		i++;
	if (i == p->n)
		return p->p[p->n - 1].ms;
	if (!i)
		return p->p[0].ms;
	a = &p->p[i - 1];
	b = &p->p[i];
	return between(a->ms, b->ms, work - a->work, b->work - a->work);
}
