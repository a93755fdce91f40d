/* SPDX-License-Identifier: MIT */
#include "findings_alike.h"

#include <stdlib.h>
#include <string.h>

static const struct report_evidence *evidence_of(const struct report_finding *f, const char *key)
{
	vec_each(e, &f->evidence)
		if (!strcmp(e->key, key))
			return e;
	return NULL;
}

static const char *object_of(const struct report_finding *f)
{
	const struct report_evidence *e = evidence_of(f, "object");

	return e && e->type == EVIDENCE_TEXT && e->text ? e->text : "";
}

/* 0: the same thing. Without a line nothing says so. */
static int differ(const struct report_finding *a, const struct report_finding *b)
{
	int c = (int)a->kind - (int)b->kind;

	if (!c && (!a->frame.lua || !b->frame.lua))
		return a < b ? -1 : a > b;
	c = c ? c : strcmp(a->frame.lua, b->frame.lua);
	return c ? c : strcmp(object_of(a), object_of(b));
}

static int by_likeness(const void *pa, const void *pb)
{
	const struct report_finding *a = *(const struct report_finding *const *)pa;
	const struct report_finding *b = *(const struct report_finding *const *)pb;
	int c = differ(a, b);

	if (c || a == b)
		return c;
	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	return a < b ? -1 : 1;
}

static int by_place(const void *pa, const void *pb)
{
	const struct finding_alike *a = pa, *b = pb;

	return a->at < b->at ? -1 : a->at > b->at;
}

static int gather(const struct report *r, struct findings_alike *a)
{
	struct finding_alike *g = NULL;

	vec_each(f, &r->findings)
		if (vec_push(&a->members, f))
			return -ENOMEM;
	if (a->members.n)
		qsort(a->members.v, a->members.n, sizeof(*a->members.v), by_likeness);
	for (size_t i = 0; i < a->members.n; i++) {
		const struct report_finding *f = a->members.v[i];
		const struct report_evidence *bytes = evidence_of(f, "bytes");
		size_t at = (size_t)(f - r->findings.v);

		if (!g || differ(g->f, f)) {
			if (vec_push(&a->groups,
				     (struct finding_alike){ .f = f, .first = i, .at = at }))
				return -ENOMEM;
			g = &a->groups.v[a->groups.n - 1];
		}
		g->n++;
		g->at = at < g->at ? at : g->at;
		g->count += f->count;
		g->bytes += bytes && bytes->type == EVIDENCE_NUMBER ? bytes->n : 0;
	}
	return 0;
}

int findings_alike(const struct report *r, struct findings_alike *ret)
{
	int rc;

	*ret = (struct findings_alike){ 0 };
	rc = gather(r, ret);
	if (rc)
		findings_alike_deinit(ret);
	else if (ret->groups.n)
		qsort(ret->groups.v, ret->groups.n, sizeof(*ret->groups.v), by_place);
	return rc;
}

void findings_alike_deinit(struct findings_alike *a)
{
	vec_deinit(&a->groups);
	vec_deinit(&a->members);
}
