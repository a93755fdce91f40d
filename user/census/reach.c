/* SPDX-License-Identifier: MIT */
#include "reach.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"

/* Values of ephemeron entries that wait for their key to be reached. */
struct waiting {
	uint32_t value, table;
	uint32_t next; /* index + 1 of the next one that waits for the same key */
};

struct search {
	struct reach *r;
	struct walk *w;
	uint32_t from;            /* object looked at now, or REACH_NONE: the roots */
	uint32_t met;             /* in r->order, of which the first r->reached are done with */
	vec_of(uint32_t) threads; /* put off until all names are used up */
	size_t next_thread;
	vec_of(struct waiting) waiting;
	struct hashmap by_key;    /* object number + 1 → index + 1 in waiting */
	bool failed;
};

static void arrive(struct search *s, uint32_t to, uint32_t parent)
{
	struct reach *r = s->r;

	if (r->parent[to] != REACH_NONE)
		return;
	r->parent[to] = parent;
	if (s->w->obj[to].kind == CENSUS_THREAD)
		s->failed |= vec_push(&s->threads, to) != 0;
	else if (!reach_is_end(&s->w->obj[to]))
		r->order[s->met++] = to;
}

static void on_edge(void *ctx, uint64_t to, enum edge edge, uint64_t key)
{
	struct search *s = ctx;
	uint32_t n = walk_number(s->w, to);

	(void)edge;
	(void)key;
	if (n == IMAGE_NONE)
		return;
	s->failed |= vec_push(&s->r->to, n) != 0;
	arrive(s, n, s->from);
}

static void on_ephemeron(void *ctx, uint64_t key_object, uint64_t to, enum edge edge, uint64_t key)
{
	struct search *s = ctx;
	uint32_t k = walk_number(s->w, key_object), v = walk_number(s->w, to);
	uint64_t *head;

	if (k == IMAGE_NONE || v == IMAGE_NONE)
		return;
	if (s->r->parent[k] != REACH_NONE) {
		on_edge(s, to, edge, key);
		return;
	}
	head = hashmap_get_or_add(&s->by_key, (uint64_t)k + 1);
	if (!head) {
		s->failed = true;
		return;
	}
	s->failed |= vec_push(&s->waiting, (struct waiting){ v, s->from, (uint32_t)*head }) != 0;
	*head = s->waiting.n;
}

/* The object is reached: so are the values that ephemeron tables keep for it. */
static void release_waiting(struct search *s, uint32_t key)
{
	uint64_t *head = s->by_key.n ? hashmap_lookup(&s->by_key, (uint64_t)key + 1) : NULL;

	for (uint32_t i = head ? (uint32_t)*head : 0; i; i = s->waiting.v[i - 1].next) {
		struct waiting *wt = &s->waiting.v[i - 1];

		s->failed |= vec_push(&s->r->to, wt->value) != 0;
		arrive(s, wt->value, wt->table);
	}
	if (head)
		*head = 0;
}

static void on_root(void *ctx, uint64_t to, enum edge edge, uint64_t key)
{
	struct search *s = ctx;
	uint32_t n = walk_number(s->w, to);

	if (n == IMAGE_NONE || s->r->parent[n] != REACH_NONE)
		return;
	s->failed |= vec_push(&s->r->roots, (struct reach_root){
			.object = n, .edge = edge, .key = key }) != 0;
	arrive(s, n, REACH_ROOT | (uint32_t)(s->r->roots.n - 1));
}

static void search_all(struct search *s)
{
	const struct edge_sink roots = { .ctx = s, .edge = on_root };
	const struct edge_sink sink = { .ctx = s, .edge = on_edge, .ephemeron = on_ephemeron };
	struct reach *r = s->r;
	uint32_t at = 0;

	edges_roots(&r->edges, &roots);
	while (!s->failed) {
		if (at == s->met) {
			if (s->next_thread == s->threads.n)
				break;
			r->order[s->met++] = s->threads.v[s->next_thread++];
		}
		s->from = r->order[at++];
		r->first[r->reached] = (uint32_t)r->to.n;
		edges_of(&r->edges, &s->w->obj[s->from], &sink);
		release_waiting(s, s->from);
		if (r->to.n != r->first[r->reached])
			r->order[r->reached++] = s->from;
		if (r->to.n >= UINT32_MAX - UINT16_MAX)
			s->failed = true;
	}
	r->first[r->reached] = (uint32_t)r->to.n;
}

int reach_build(struct reach *r, const struct walk *w)
{
	struct search s = { .r = r, .w = (struct walk *)w, .from = REACH_NONE };
	size_t n = (size_t)w->n + 1, inner = 1;

	*r = (struct reach){ .w = w };
	edges_init(&r->edges, w);
	r->parent = malloc(n * sizeof(*r->parent));
	for (uint32_t i = 0; i < w->n; i++)
		inner += !reach_is_end(&w->obj[i]);
	r->order = malloc(inner * sizeof(*r->order));
	r->first = malloc(inner * sizeof(*r->first));
	if (!r->parent || !r->order || !r->first)
		return -ENOMEM;
	memset(r->parent, 0xff, n * sizeof(*r->parent));
	search_all(&s);
	vec_deinit(&s.threads);
	vec_deinit(&s.waiting);
	hashmap_deinit(&s.by_key);
	return s.failed ? -ENOMEM : 0;
}

void reach_deinit(struct reach *r)
{
	edges_deinit(&r->edges);
	free(r->parent);
	free(r->order);
	free(r->first);
	free(r->retained);
	vec_deinit(&r->roots);
	vec_deinit(&r->to);
	*r = (struct reach){ 0 };
}
