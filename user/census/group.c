/* SPDX-License-Identifier: MIT */
/* Objects by kind and origin, and an example of each group with who holds it. */
#include "census.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fmt.h"
#include "luajit.h"
#include "makers.h"

#define MAX_GROUPS 20000u /* then the rest is put together by kind */
#define PREFIX_BYTES 16
#define PATHS 150u /* groups besides those shown to people that get a path */

struct grouping {
	struct census *c;
	struct census_state *s;
	struct reach *r;
	const struct walk *w;
	struct census_names names;
	struct makers makers;   /* by site alone */
	struct hashmap groups;  /* kind, dead, origin → index + 1 */
	struct hashmap origins; /* what an origin was told from → 1 + string id */
	vec_of(uint32_t) holder; /* by group: object that holds most of it so far, and its lead */
	vec_of(uint32_t) lead;
};

static uint64_t power_below(uint64_t n)
{
	return n ? 1ull << (63 - __builtin_clzll(n)) : 0;
}

static uint32_t size_class(struct grouping *g, uint64_t bytes)
{
	uint64_t from = power_below(bytes);
	char text[64];

	snprintf(text, sizeof(text), "%" PRIu64 "-%" PRIu64 " bytes", from, from ? 2 * from - 1 : 0);
	return strpool_add(g->c->pool, text);
}

/* Text of a target's string, only because the person asked for it. */
static uint32_t string_prefix(struct grouping *g, const struct census_object *o)
{
	const uint8_t *text;
	uint64_t len;
	char buf[PREFIX_BYTES + 8];

	if (!edges_text(g->w, o->uaddr, &text, &len))
		return 0;
	snprintf(buf, sizeof(buf), "\"%.*s%s\"", (int)(len < PREFIX_BYTES ? len : PREFIX_BYTES),
		 (const char *)text, len > PREFIX_BYTES ? "…" : "");
	return strpool_add(g->c->pool, buf);
}

/* What many objects share is told once. */
static uint32_t cached(struct grouping *g, uint64_t from, uint32_t (*tell)(struct grouping *, uint64_t))
{
	uint64_t *known = from ? hashmap_lookup(&g->origins, from) : NULL;
	uint32_t id;

	if (!from)
		return 0;
	if (known)
		return (uint32_t)*known - 1;
	id = tell(g, from);
	known = hashmap_get_or_add(&g->origins, from);
	if (known)
		*known = 1 + (uint64_t)id;
	return id;
}

static uint32_t tell_proto(struct grouping *g, uint64_t proto)
{
	return path_proto_origin(g->w, proto, g->c->pool);
}

static uint32_t tell_c_function(struct grouping *g, uint64_t code)
{
	const struct module *m = target_module_at(g->c->target, code);
	const char *name = m ? strrchr(m->path, '/') : NULL;
	char text[400];

	if (!m)
		return strpool_add(g->c->pool, "[C]");
	snprintf(text, sizeof(text), "[C] %s+0x%" PRIx64, name ? name + 1 : m->path,
		 code - m->start + m->start_offset);
	return strpool_add(g->c->pool, text);
}

static uint32_t function_origin(struct grouping *g, const struct census_object *o)
{
	const uint8_t *p = image_at(g->w->im, o->uaddr, (uint64_t)g->w->c->fn_f.off + 8);

	if (!o->is_c)
		return cached(g, path_proto_of(g->w, o), tell_proto);
	return p ? cached(g, walk_get(p, g->w->c->fn_f), tell_c_function) : 0;
}

static uint32_t tell_ctype(struct grouping *g, uint64_t id)
{
	return census_ctype_name(g->w, (uint32_t)id - 1, g->c->pool);
}

static uint32_t ctype_origin(struct grouping *g, const struct census_object *o)
{
	struct lj_cdata cd;

	return lj_cdata(g->w, o->uaddr, &cd) ? cached(g, (uint64_t)cd.ctype + 1, tell_ctype) : 0;
}

static uint32_t site_origin(struct grouping *g, const struct census_object *o)
{
	if (o->kind == CENSUS_THREAD)
		return o->uaddr == g->w->L ? strpool_add(g->c->pool, "main thread")
					   : census_thread_origin(g->w, o->uaddr, g->c->pool);
	if (o->kind == CENSUS_PROTO)
		return cached(g, o->uaddr, tell_proto);
	return o->kind == CENSUS_FUNCTION ? function_origin(g, o) : 0;
}

/* Who could have made it; of a table that nobody is known to make, its size. */
static uint32_t maker_origin(struct grouping *g, const struct census_object *o)
{
	uint32_t origin;

	if (o->kind != CENSUS_TABLE)
		return site_origin(g, o);
	origin = makers_origin(&g->makers, o->uaddr);
	return origin ? origin : size_class(g, walk_bytes(g->w, o));
}

static uint32_t type_origin(struct grouping *g, const struct census_object *o)
{
	uint64_t meta = census_metatable_of(g->w, o);

	return meta && walk_number(g->w, meta) != IMAGE_NONE ? census_type_name(&g->names, meta) : 0;
}

static uint32_t best_origin(struct grouping *g, const struct census_object *o)
{
	switch ((enum census_kind)o->kind) {
	case CENSUS_FUNCTION:
	case CENSUS_THREAD:
	case CENSUS_PROTO:
		return site_origin(g, o);
	case CENSUS_USERDATA:
		return type_origin(g, o);
	case CENSUS_CDATA:
		return ctype_origin(g, o);
	case CENSUS_STRING:
		return g->c->opt->show_strings ? string_prefix(g, o) : 0;
	case CENSUS_TABLE:
	case CENSUS_UPVALUE:
	case CENSUS_TRACE:
	case CENSUS_KIND_MAX:
		break;
	}
	return 0;
}

static uint32_t origin_of(struct grouping *g, const struct census_object *o)
{
	switch (g->c->opt->by) {
	case CENSUS_BY_ORIGIN:
		return best_origin(g, o);
	case CENSUS_BY_TYPE:
		return 0;
	case CENSUS_BY_SITE:
		return maker_origin(g, o);
	case CENSUS_BY_PROTO:
		return o->kind == CENSUS_FUNCTION || o->kind == CENSUS_PROTO ? site_origin(g, o) : 0;
	case CENSUS_BY_SIZE:
		return size_class(g, walk_bytes(g->w, o));
	case CENSUS_BY_METATABLE:
		return type_origin(g, o);
	case CENSUS_BY_CTYPE:
		return o->kind == CENSUS_CDATA ? ctype_origin(g, o) : 0;
	}
	return 0;
}

static struct census_group *group_of(struct grouping *g, const struct census_object *o, bool dead,
				     size_t *index_ret)
{
	uint32_t origin = g->s->groups.n < MAX_GROUPS ? origin_of(g, o) : 0;
	uint64_t key = (uint64_t)origin << 16 | (uint64_t)(o->kind + 1) << 1 | dead;
	uint64_t *at = hashmap_get_or_add(&g->groups, key);
	struct census_group group = { .kind = o->kind, .dead = dead, .origin = origin,
				      .example = IMAGE_NONE };

	if (!at)
		return NULL;
	if (!*at) {
		if (vec_push(&g->s->groups, group) || vec_push(&g->holder, REACH_NONE) ||
		    vec_push(&g->lead, 0u))
			return NULL;
		*at = g->s->groups.n;
	}
	*index_ret = *at - 1;
	return &g->s->groups.v[*at - 1];
}

/*
 * The group's example: an object under the one that holds most of the group (found by majority
 * vote, one candidate and its lead), else the biggest.
 */
static void vote(struct grouping *g, size_t at, struct census_group *group, uint32_t object)
{
	uint32_t parent = g->r->parent[object];

	if (group->example == IMAGE_NONE)
		group->example = object;
	if (g->lead.v[at] == 0) {
		g->holder.v[at] = parent;
		g->lead.v[at] = 1;
		group->example = object;
	} else {
		g->lead.v[at] += parent == g->holder.v[at] ? 1 : UINT32_MAX;
	}
}

static int add_object(struct grouping *g, uint32_t i)
{
	const struct census_object *o = &g->w->obj[i];
	bool dead = !reach_is_live(g->r, i);
	struct census_group *group;
	uint64_t bytes = walk_bytes(g->w, o);
	size_t at;

	group = group_of(g, o, dead, &at);
	if (!group)
		return -ENOMEM;
	group->count++;
	group->bytes += bytes;
	vote(g, at, group, i);
	if (o->kind == CENSUS_THREAD && !dead && o->uaddr != g->w->L)
		g->s->coroutines++;
	*(dead ? &g->s->dead_objects : &g->s->live_objects) += 1;
	*(dead ? &g->s->dead_bytes : &g->s->live_bytes) += bytes;
	return 0;
}

static int by_bytes(const void *a, const void *b)
{
	const struct census_group *x = a, *y = b;

	if (x->dead != y->dead)
		return x->dead ? 1 : -1;
	return x->bytes < y->bytes ? 1 : x->bytes > y->bytes ? -1 : 0;
}

int census_group(struct census *c, struct census_state *s, struct reach *r)
{
	struct grouping g = { .c = c, .s = s, .r = r, .w = r->w };
	int rc = c->opt->by == CENSUS_BY_SITE ? makers_find(&g.makers, r->w, c->pool) : 0;

	g.names = (struct census_names){ .w = r->w, .pool = c->pool };
	s->coroutines = 0;
	s->live_bytes = s->live_objects = s->dead_bytes = s->dead_objects = 0;
	s->groups.n = 0;
	for (uint32_t i = 0; !rc && i < r->w->n; i++)
		rc = add_object(&g, i);
	if (s->groups.n)
		qsort(s->groups.v, s->groups.n, sizeof(*s->groups.v), by_bytes);
	/* Finding a name means looking through the whole holder: for the biggest groups only. */
	for (size_t i = 0; i < s->groups.n && i < c->opt->top + PATHS; i++)
		if (!s->groups.v[i].dead)
			path_build(r, s->groups.v[i].example, c->pool, &s->groups.v[i].path);
	census_names_deinit(&g.names);
	makers_deinit(&g.makers);
	hashmap_deinit(&g.groups);
	hashmap_deinit(&g.origins);
	vec_deinit(&g.holder);
	vec_deinit(&g.lead);
	return rc;
}
