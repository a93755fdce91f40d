/* SPDX-License-Identifier: MIT */
/* The objects that keep most of the heap alive, and those asked for by address. */
#include "census.h"

#include <errno.h>
#include <stdlib.h>

#include "luajit.h"

struct top {
	uint32_t *object;
	size_t n, max;
};

static uint64_t weight(const struct reach *r, uint32_t object)
{
	return r->retained ? r->retained[object] : walk_bytes(r->w, &r->w->obj[object]);
}

static void consider(struct top *t, const struct reach *r, uint32_t object)
{
	size_t at = t->n;

	if (at == t->max && (!at || weight(r, t->object[at - 1]) >= weight(r, object)))
		return;
	if (at < t->max)
		t->n++;
	else
		at--;
	for (; at && weight(r, t->object[at - 1]) < weight(r, object); at--)
		t->object[at] = t->object[at - 1];
	t->object[at] = object;
}

static int add_holder(struct census *c, struct census_state *s, struct reach *r, uint32_t object,
		      bool asked)
{
	const struct census_object *o = &r->w->obj[object];
	struct census_holder h = {
		.uaddr = o->uaddr, .bytes = walk_bytes(r->w, o), .kind = o->kind, .asked_for = asked,
		.retained = r->retained ? r->retained[object] : 0,
		.dead = !reach_is_live(r, object),
	};
	struct census_names names = { .w = r->w, .pool = c->pool };
	uint64_t meta = census_metatable_of(r->w, o);
	struct lj_cdata cd;

	if (o->kind == CENSUS_FUNCTION && !o->is_c)
		h.origin = path_proto_origin(r->w, path_proto_of(r->w, o), c->pool);
	else if (o->kind == CENSUS_CDATA && lj_cdata(r->w, o->uaddr, &cd))
		h.origin = census_ctype_name(r->w, cd.ctype, c->pool);
	else if (meta && walk_number(r->w, meta) != IMAGE_NONE)
		h.origin = census_type_name(&names, meta);
	census_names_deinit(&names);
	path_build(r, object, c->pool, &h.path);
	return vec_push(&s->holders, h);
}

/* The object that the address lies in: what Lua prints of a userdata is where its bytes begin. */
static uint32_t object_at(const struct walk *w, uint64_t uaddr)
{
	uint32_t n = image_number_below(w->im, uaddr);
	uint64_t head;

	if (n == IMAGE_NONE)
		return n;
	head = w->obj[n].kind == CENSUS_TABLE ? (uint64_t)w->l->size_tab.off
	     : w->obj[n].kind == CENSUS_THREAD ? (uint64_t)w->l->size_L.off : walk_bytes(w, &w->obj[n]);
	return uaddr - w->obj[n].uaddr < head ? n : IMAGE_NONE;
}

int census_hold(struct census *c, struct census_state *s, struct reach *r)
{
	struct top t = { .max = c->opt->top };
	int rc = reach_retained(r);

	s->holders.n = 0;
	t.object = calloc(t.max + 1, sizeof(*t.object));
	if (rc || !t.object) {
		free(t.object);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < r->w->n; i++)
		if (r->w->obj[i].kind == CENSUS_TABLE && reach_is_live(r, i))
			consider(&t, r, i);
	for (size_t i = 0; !rc && i < c->opt->paths.n; i++) {
		uint32_t object = object_at(r->w, c->opt->paths.v[i]);

		if (object != IMAGE_NONE)
			rc = add_holder(c, s, r, object, true);
	}
	for (size_t i = 0; !rc && i < t.n; i++)
		rc = add_holder(c, s, r, t.object[i], false);
	free(t.object);
	return rc;
}
