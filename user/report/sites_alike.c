/* SPDX-License-Identifier: MIT */
#include "sites_alike.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

void sites_alike_deinit(struct sites_alike *a)
{
	vec_deinit(&a->v);
}

/* A line of which nothing is alive says nothing to people. */
static bool has_reason(const struct report_site *s)
{
	return s->live_bytes || s->verdict != VERDICT_YOUNG;
}

static int compare(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "");
}

static int differ(const struct report_site *a, const struct report_site *b)
{
	int c = a->pid != b->pid ? (a->pid > b->pid ? 1 : -1) : compare(a->frame.lua, b->frame.lua);

	c = c ? c : compare(a->kind, b->kind);
	c = c ? c : compare(a->frame.name, b->frame.name);
	c = c ? c : (int)a->frame.approx - (int)b->frame.approx;
	return c ? c : (int)a->below - (int)b->below;
}

static int by_likeness(const void *pa, const void *pb)
{
	const struct report_site *a = *(const struct report_site *const *)pa;
	const struct report_site *b = *(const struct report_site *const *)pb;
	int c = differ(a, b);

	if (!c && a->state != b->state)
		c = a->state < b->state ? -1 : 1;
	return c ? c : a < b ? -1 : a > b;
}

static void add(struct site_alike *to, const struct report_site *s)
{
	struct report_site *sum = &to->sum;

	to->n++;
	sum->live_bytes += s->live_bytes;
	sum->live_blocks += s->live_blocks;
	sum->growth_bytes_per_s += s->growth_bytes_per_s;
	if (s->survived_cycles > sum->survived_cycles)
		sum->survived_cycles = s->survived_cycles;
	if (s->verdict > sum->verdict)
		sum->verdict = s->verdict;
}

static int by_size(const void *pa, const void *pb)
{
	const struct site_alike *a = pa, *b = pb;

	if (a->sum.live_bytes != b->sum.live_bytes)
		return a->sum.live_bytes > b->sum.live_bytes ? -1 : 1;
	return a->sum.state < b->sum.state ? -1 : a->sum.state > b->sum.state;
}

/* People may have asked for another order; then each stands where its first did. */
static bool is_by_size(const struct report *r)
{
	for (size_t i = 1; i < r->sites.n; i++)
		if (r->sites.v[i].live_bytes > r->sites.v[i - 1].live_bytes)
			return false;
	return true;
}

/* Numbers the groups from 1 on, by site; 0: not to be told. */
static void number_groups(const struct report *r, const struct report_site **by, size_t *group)
{
	size_t n = 0, groups = 0;

	vec_each(s, &r->sites)
		if (has_reason(s))
			by[n++] = s;
	if (n)
		qsort(by, n, sizeof(*by), by_likeness);
	for (size_t i = 0; i < n; i++) {
		groups += !i || by[i - 1]->state == by[i]->state || differ(by[i - 1], by[i]);
		group[by[i] - r->sites.v] = groups;
	}
}

int sites_alike(const struct report *r, struct sites_alike *ret)
{
	auto_free const struct report_site **by = calloc(r->sites.n + 1, sizeof(*by));
	auto_free size_t *group = calloc(r->sites.n + 1, sizeof(*group));
	auto_free size_t *place = calloc(r->sites.n + 1, sizeof(*place)); /* by group: + 1 */
	int rc = by && group && place ? 0 : -ENOMEM;

	*ret = (struct sites_alike){ 0 };
	if (rc)
		return rc;
	number_groups(r, by, group);
	for (size_t i = 0; !rc && i < r->sites.n; i++) {
		size_t *at = &place[group[i]];

		if (!group[i])
			continue;
		if (*at) {
			add(&ret->v.v[*at - 1], &r->sites.v[i]);
			continue;
		}
		rc = vec_push(&ret->v, (struct site_alike){ .sum = r->sites.v[i], .n = 1 });
		*at = ret->v.n;
	}
	if (!rc && ret->v.n && is_by_size(r))
		qsort(ret->v.v, ret->v.n, sizeof(*ret->v.v), by_size);
	return rc;
}
