/* SPDX-License-Identifier: MIT */
/*
 * Objects asked for by address: are they still there, does anybody hold them, and who; and where
 * they stand in the VM's list of objects, for whoever knows when they were born.
 */
#include "census.h"

#include <errno.h>

#include "luajit.h"
#include "puc.h"

#define PATHS_OF_GROUP 8

bool census_asks_of(const struct census *c, uint64_t G)
{
	for (size_t i = 0; i < c->opt->n_asks; i++)
		if (c->opt->asks[i].G == G)
			return true;
	return false;
}

static int answer(struct census *c, struct census_ask *a, struct reach *r, struct hashmap *built)
{
	uint32_t object = walk_number(r->w, a->uaddr);
	uint64_t *n;

	a->answer = object == IMAGE_NONE ? CENSUS_ABSENT
		  : reach_is_live(r, object) ? CENSUS_HELD : CENSUS_UNHELD;
	if (object != IMAGE_NONE)
		a->kind = r->w->obj[object].kind;
	a->path.n = 0;
	if (a->answer != CENSUS_HELD || !a->wants_path)
		return 0;
	n = hashmap_get_or_add(built, a->group + 1);
	if (n && (*n)++ < PATHS_OF_GROUP)
		path_build(r, object, c->pool, &a->path);
	return n ? 0 : -ENOMEM;
}

/* Collectors put what is born in front and keep the order of the rest. */
static void number(const struct walk *w, struct hashmap *order)
{
	bool puc = w->l->family == LMT_FAMILY_PUC;
	uint64_t o = walk_get(w->g, puc ? w->l->G_allgc : w->l->G_root), n = 0;

	while (o && n < w->n) {
		const uint8_t *p = image_at(w->im, o, 16);
		uint64_t *at = hashmap_lookup(order, o);

		if (!p)
			break;
		n++;
		if (at)
			*at = n;
		o = walk_ref(w, p);
	}
}

/* Where the blocks of a table's array and nodes begin; 0: it has none. */
static bool table_parts(const struct walk *w, uint64_t t, uint64_t at[2])
{
	struct puc_table p;
	struct lj_table l;

	if (w->l->family == LMT_FAMILY_LUAJIT) {
		if (!lj_table(w, t, &l))
			return false;
		at[0] = l.array;
		at[1] = l.node;
		return true;
	}
	if (!puc_table(w, t, &p))
		return false;
	at[0] = p.array && w->l->version >= 505 ? p.array - 8 * p.array_n : p.array;
	at[1] = p.no_nodes ? 0 : p.node;
	return true;
}

/* They are no objects: who holds the table holds them. */
static void find_owners(struct census *c, struct reach *r, const struct hashmap *parts)
{
	const struct walk *w = r->w;

	for (uint32_t i = 0; i < w->n; i++) {
		uint64_t at[2];

		if (w->obj[i].kind != CENSUS_TABLE || !reach_is_live(r, i) ||
		    !table_parts(w, w->obj[i].uaddr, at))
			continue;
		for (int k = 0; k < 2; k++) {
			uint64_t *found = at[k] ? hashmap_lookup(parts, at[k]) : NULL;
			struct census_ask *a = found ? &c->opt->asks[*found] : NULL;

			if (a && !a->path.n)
				path_build(r, i, c->pool, &a->path);
		}
	}
}

static int enter(struct hashmap *m, uint64_t uaddr, size_t ask)
{
	uint64_t *at = hashmap_get_or_add(m, uaddr);

	if (!at)
		return -ENOMEM;
	*at = ask;
	return 0;
}

int census_answer_asks(struct census *c, struct census_state *s, struct reach *r)
{
	uint64_t G = c->resolved->states.v[s->index].G;
	struct hashmap order = { 0 }, parts = { 0 }, built = { 0 };
	int rc = 0;

	for (size_t i = 0; !rc && i < c->opt->n_asks; i++) {
		struct census_ask *a = &c->opt->asks[i];

		if (a->G != G)
			continue;
		rc = answer(c, a, r, &built);
		if (rc)
			break;
		if (a->answer != CENSUS_ABSENT)
			rc = enter(&order, a->uaddr, 0);
		else if (a->wants_path)
			rc = enter(&parts, a->uaddr, i);
	}
	number(r->w, &order);
	s->live_bytes = 0;
	for (uint32_t i = 0; i < r->w->n; i++)
		s->live_bytes += reach_is_live(r, i) ? walk_bytes(r->w, &r->w->obj[i]) : 0;
	for (size_t i = 0; !rc && i < c->opt->n_asks; i++) {
		struct census_ask *a = &c->opt->asks[i];
		uint64_t *at = a->G == G ? hashmap_lookup(&order, a->uaddr) : NULL;

		a->order = at ? *at : a->order;
	}
	if (!rc && parts.n)
		find_owners(c, r, &parts);
	hashmap_deinit(&order);
	hashmap_deinit(&parts);
	hashmap_deinit(&built);
	return rc;
}

/* What came out of attempts that failed in the end is worth nothing. */
void census_drop_answers(struct census *c)
{
	for (size_t i = 0; i < c->opt->n_asks; i++)
		vec_each(s, &c->states)
			if (!s->done && c->resolved->states.v[s->index].G == c->opt->asks[i].G)
				c->opt->asks[i].answer = CENSUS_NOT_KNOWN;
}
