/* SPDX-License-Identifier: MIT */
#include "makers.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "calls.h"

#define MAX_ASKED 1000000u /* shapes remembered: a heap may have any number of them */

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= 0x9e3779b97f4a7c15ull;
	x ^= x >> 29;
	x *= 0xbf58476d1ce4e5b9ull;
	return x ^ x >> 32;
}

/* Never 0, which is no key of a hash map. */
static uint64_t shape_of_keys(uint64_t sum, unsigned int n)
{
	return mix(sum + n) | 1;
}

static uint64_t shape_of_list(uint64_t array)
{
	return mix(~array) & ~1ull;
}

void making_add(struct making *mk, uint64_t string)
{
	for (unsigned int i = 0; i < mk->keys; i++)
		if (mk->key[i] == string)
			return;
	if (mk->keys < MAKERS_KEYS)
		mk->key[mk->keys++] = string;
}

void table_shape_add(struct table_shape *s, uint64_t string, bool is_nil)
{
	s->all += mix(string);
	s->n_all++;
	if (is_nil)
		return;
	s->live += mix(string);
	s->n_live++;
}

static void note(struct makers *m, uint64_t shape, uint32_t origin)
{
	uint64_t *at = hashmap_get_or_add(&m->by_shape, shape);
	struct maker *mk;

	if (!at || (!*at && vec_push(&m->maker, (struct maker){ 0 }))) {
		m->failed = true;
		return;
	}
	if (!*at)
		*at = m->maker.n;
	mk = &m->maker.v[*at - 1];
	for (uint32_t i = 0; i < mk->n && i < MAKERS_NAMED; i++)
		if (mk->origin[i] == origin)
			return;
	if (mk->n < MAKERS_NAMED)
		mk->origin[mk->n] = origin;
	mk->n++;
}

/* Keys that follow the constructor itself may be set or not: so many tables of it there may be. */
void makers_add(struct makers *m, const struct making *mk)
{
	struct call call = { .proto = mk->proto, .pc = mk->pc };
	uint32_t origin = calls_origin(m->w, &call, m->pool);
	uint64_t sum = 0;

	if (!origin)
		return;
	if (!mk->at_least)
		note(m, shape_of_list(mk->array), origin);
	for (unsigned int i = 0; i < mk->keys; i++) {
		sum += mix(mk->key[i]);
		if (i + 1 >= mk->at_least)
			note(m, shape_of_keys(sum, i + 1), origin);
	}
}

int makers_find(struct makers *m, const struct walk *w, struct strpool *pool)
{
	*m = (struct makers){ .w = w, .pool = pool };
	for (uint32_t i = 0; i < w->n && !m->failed; i++) {
		if (w->obj[i].kind != CENSUS_PROTO)
			continue;
		if (w->l->family == LMT_FAMILY_PUC)
			makers_puc(m, w->obj[i].uaddr);
		else
			makers_luajit(m, w->obj[i].uaddr);
	}
	return m->failed ? -ENOMEM : 0;
}

void makers_deinit(struct makers *m)
{
	hashmap_deinit(&m->by_shape);
	hashmap_deinit(&m->known);
	vec_deinit(&m->maker);
}

static const struct maker *maker_of(const struct makers *m, uint64_t shape)
{
	uint64_t *at = hashmap_lookup(&m->by_shape, shape);

	return at ? &m->maker.v[*at - 1] : NULL;
}

/* A list may have been made as long as it is, or empty and have grown. */
static struct maker makers_of_list(const struct makers *m, const struct table_shape *s)
{
	const struct maker *made = maker_of(m, shape_of_list(s->array));
	const struct maker *grown = s->array && s->may_have_grown ? maker_of(m, shape_of_list(0)) : NULL;
	struct maker both = made ? *made : (struct maker){ 0 };

	for (uint32_t i = 0; grown && i < grown->n && i < MAKERS_NAMED; i++)
		if (both.n + i < MAKERS_NAMED)
			both.origin[both.n + i] = grown->origin[i];
	both.n += grown ? grown->n : 0;
	return both;
}

static uint32_t text_of(struct makers *m, const struct maker *mk)
{
	uint32_t named = mk->n < MAKERS_NAMED ? mk->n : MAKERS_NAMED;
	char text[600];
	size_t len;

	if (mk->n <= 1)
		return mk->n ? mk->origin[0] : 0;
	len = (size_t)snprintf(text, sizeof(text), "one of %u: ", mk->n);
	for (uint32_t i = 0; i < named && len < sizeof(text); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", i ? ", " : "",
					strpool_get(m->pool, mk->origin[i]));
	if (mk->n > named && len < sizeof(text))
		snprintf(text + len, sizeof(text) - len, ", …");
	return strpool_add(m->pool, text);
}

static uint32_t tell(struct makers *m, const struct table_shape *s)
{
	const struct maker *mk = maker_of(m, shape_of_keys(s->all, s->n_all));
	struct maker list;

	if (!s->n_live && !mk) {
		list = makers_of_list(m, s);
		return text_of(m, &list);
	}
	if (!mk)
		mk = maker_of(m, shape_of_keys(s->live, s->n_live));
	return mk ? text_of(m, mk) : 0;
}

uint32_t makers_origin(struct makers *m, uint64_t table)
{
	struct table_shape s = { 0 };
	uint64_t *known, ask;
	uint32_t id;

	if (!(m->w->l->family == LMT_FAMILY_PUC ? table_shape_puc : table_shape_luajit)(m->w, table, &s))
		return 0;
	ask = mix(s.all + mix(s.live) + (s.n_all ? 0 : mix(~s.array))) | 1;
	known = hashmap_lookup(&m->known, ask);
	if (known)
		return (uint32_t)*known - 1;
	id = tell(m, &s);
	known = m->known.n < MAX_ASKED ? hashmap_get_or_add(&m->known, ask) : NULL;
	if (known)
		*known = 1 + (uint64_t)id;
	return id;
}
