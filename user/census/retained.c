/* SPDX-License-Identifier: MIT */
/*
 * Bytes that only one object keeps alive: the sizes under it in the dominator tree.
 *
 * Dominators by semi-dominators and nearest common ancestors (Georgiadis, "Linear-time algorithms
 * for dominators and related problems", 2005: SNCA). Vertices are numbers in order of a depth-first
 * search from a made-up vertex 0 that refers to all roots; no recursion anywhere.
 */
#include "reach.h"

#include <errno.h>
#include <stdlib.h>

struct snca {
	uint32_t n;        /* vertices, 0 included */
	uint32_t *object;  /* by vertex: position in reach.order */
	uint32_t *vertex;  /* by position: vertex */
	uint32_t *parent;  /* in the tree of the search; later shortened: ancestor */
	uint32_t *semi, *label, *idom; /* in the memory of what is not needed any more then */
	uint32_t *pred_first, *pred;
	uint32_t *stack;   /* two halves: of vertices, and of edges; the second later: ancestors */
};

static void snca_deinit(struct snca *s)
{
	free(s->object);
	free(s->vertex);
	free(s->parent);
	free(s->idom);
	free(s->pred_first);
	free(s->pred);
	free(s->stack);
}

static bool snca_alloc(struct snca *s, uint32_t n, size_t edges)
{
	size_t bytes = ((size_t)n + 2) * sizeof(uint32_t);

	s->n = n;
	s->object = malloc(bytes);
	s->vertex = calloc(1, bytes);
	s->parent = malloc(bytes);
	s->idom = malloc(bytes);
	s->stack = malloc(2 * bytes);
	s->pred_first = calloc(1, bytes);
	s->pred = malloc((edges + n + 1) * sizeof(uint32_t));
	return s->object && s->vertex && s->parent && s->idom && s->stack &&
	       s->pred_first && s->pred;
}

/* Numbers what one root reaches. position_of: by object. Returns the next free number. */
static uint32_t search_from(struct snca *s, const struct reach *r, const uint32_t *position_of,
			    uint32_t root, uint32_t next)
{
	uint32_t *at = s->stack, *edge = s->stack + s->n + 1, depth = 0;

	if (s->vertex[root])
		return next;
	s->vertex[root] = next;
	s->object[next] = root;
	s->parent[next++] = 0;
	at[0] = root;
	edge[0] = r->first[root];
	for (;;) {
		uint32_t p = at[depth], to;

		if (edge[depth] == r->first[p + 1]) {
			if (!depth--)
				return next;
			continue;
		}
		to = position_of[r->to.v[edge[depth]++]];
		if (s->vertex[to])
			continue;
		s->vertex[to] = next;
		s->object[next] = to;
		s->parent[next++] = s->vertex[p];
		at[++depth] = to;
		edge[depth] = r->first[to];
	}
}

static void count_preds(struct snca *s, const struct reach *r, const uint32_t *position_of)
{
	uint32_t sum = 0;

	for (uint32_t p = 0; p < r->reached; p++)
		for (uint32_t e = r->first[p]; e < r->first[p + 1]; e++)
			s->pred_first[s->vertex[position_of[r->to.v[e]]]]++;
	vec_each(root, &r->roots)
		s->pred_first[s->vertex[position_of[root->object]]]++;
	for (uint32_t v = 0; v <= s->n; v++) {
		uint32_t k = s->pred_first[v];

		s->pred_first[v] = sum;
		sum += k;
	}
}

/* Fills from the back, so that pred_first ends where it should begin. */
static void fill_preds(struct snca *s, const struct reach *r, const uint32_t *position_of)
{
	for (uint32_t v = 0; v < s->n; v++)
		s->stack[v] = s->pred_first[v];
	vec_each(root, &r->roots)
		s->pred[s->stack[s->vertex[position_of[root->object]]]++] = 0;
	for (uint32_t p = 0; p < r->reached; p++)
		for (uint32_t e = r->first[p]; e < r->first[p + 1]; e++)
			s->pred[s->stack[s->vertex[position_of[r->to.v[e]]]]++] = s->vertex[p];
}

/* The vertex of smallest semi-dominator on the way up to `last`, shortening the way. */
static uint32_t eval(struct snca *s, uint32_t *ancestor, uint32_t v, uint32_t last)
{
	uint32_t n = 0, u = v;

	if (v <= last)
		return v;
	while (ancestor[u] > last) {
		s->stack[n++] = u;
		u = ancestor[u];
	}
	while (n) {
		uint32_t x = s->stack[--n], up = ancestor[x];

		if (s->semi[s->label[up]] < s->semi[s->label[x]])
			s->label[x] = s->label[up];
		ancestor[x] = ancestor[up];
	}
	return s->label[v];
}

static void dominators(struct snca *s, uint32_t *spare)
{
	uint32_t *ancestor = s->stack + s->n + 1;

	s->label = s->vertex;
	s->semi = spare;
	s->parent[0] = 0;
	for (uint32_t v = 0; v < s->n; v++) {
		ancestor[v] = s->parent[v];
		s->label[v] = v;
		s->semi[v] = v;
		s->idom[v] = s->parent[v];
	}
	for (uint32_t v = s->n - 1; v > 0; v--) {
		s->semi[v] = s->parent[v];
		for (uint32_t e = s->pred_first[v]; e < s->pred_first[v + 1]; e++) {
			uint32_t u = eval(s, ancestor, s->pred[e], v);

			if (s->semi[u] < s->semi[v])
				s->semi[v] = s->semi[u];
		}
		s->label[v] = v;
	}
	for (uint32_t v = 1; v < s->n; v++)
		while (s->idom[v] > s->semi[v])
			s->idom[v] = s->idom[s->idom[v]];
}

static void sum_up(const struct snca *s, struct reach *r)
{
	/* A vertex comes before all it dominates. */
	for (uint32_t v = s->n - 1; v > 0; v--) {
		uint32_t object = r->order[s->object[v]];

		r->retained[object] += r->w->obj[object].bytes;
		if (s->idom[v])
			r->retained[r->order[s->object[s->idom[v]]]] += r->retained[object];
	}
}

static void drop_edges(struct reach *r)
{
	free(r->first);
	r->first = NULL;
	vec_deinit(&r->to);
}

int reach_retained(struct reach *r)
{
	uint32_t *position_of = malloc(((size_t)r->w->n + 1) * sizeof(*position_of));
	struct snca s = { 0 };
	uint32_t next = 1;

	if (position_of && snca_alloc(&s, r->reached + 1, r->to.n + r->roots.n)) {
		for (uint32_t p = 0; p < r->reached; p++)
			position_of[r->order[p]] = p;
		vec_each(root, &r->roots)
			next = search_from(&s, r, position_of, position_of[root->object], next);
		s.n = next;
		count_preds(&s, r, position_of);
		fill_preds(&s, r, position_of);
		drop_edges(r);
		dominators(&s, position_of);
		r->retained = calloc((size_t)r->w->n + 1, sizeof(*r->retained));
		if (r->retained)
			sum_up(&s, r);
	}
	snca_deinit(&s);
	free(position_of);
	drop_edges(r);
	return r->retained ? 0 : -ENOMEM;
}
