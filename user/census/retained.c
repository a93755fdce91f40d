/* SPDX-License-Identifier: MIT */
/*
 * Bytes that only one object keeps alive: the sizes under it in the dominator tree.
 *
 * Dominators by semi-dominators and nearest common ancestors (Georgiadis, "Linear-time algorithms
 * for dominators and related problems", 2005: SNCA). Vertices are numbers in order of a depth-first
 * search from a made-up vertex 0 that refers to all roots; no recursion anywhere. Ancestors are
 * found by jump pointers (Myers, 1983), so that long chains take no square of their length.
 *
 * What refers to nothing, half of most heaps, is no vertex: who dominates it is the nearest common
 * ancestor of all that refer to it, once the tree of the others stands. That is what keeps the
 * memory small; arrays live no longer than they are needed, and what is mostly short grows as it
 * must, for the same reason.
 */
#include "reach.h"

#include <errno.h>
#include <stdlib.h>

#define LEAF 0x80000000u /* in reach.to: | object, which refers to nothing */

struct visit {
	uint32_t position, edge; /* the next to be followed */
};

struct tree {
	uint32_t n;         /* vertices, 0 included */
	uint32_t *vertex;   /* by position in reach.order */
	uint32_t *object;   /* by vertex */
	uint32_t *idom;     /* by vertex; at first: parent in the search */
	uint32_t *ancestor; /* parent, later shortened; then: jump */
	uint32_t *semi;     /* then: depth */
	uint32_t *label;
	uint32_t *pred_first, *pred;
	uint32_t *leaf_first, *leaf; /* objects that refer to nothing, by vertex that refers to them */
	uint32_t *from, *end; /* the vertices under each are these, counted from above */
	uint32_t *leaf_idom; /* by object */
	vec_of(struct visit) visits;
	vec_of(uint32_t) way;
};

static void drop(uint32_t **array)
{
	free(*array);
	*array = NULL;
}

static void tree_deinit(struct tree *t)
{
	uint32_t **arrays[] = { &t->vertex, &t->object, &t->idom, &t->ancestor, &t->semi, &t->label,
				&t->pred_first, &t->pred, &t->leaf_first, &t->leaf, &t->from, &t->end,
				&t->leaf_idom };

	for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
		drop(arrays[i]);
	vec_deinit(&t->visits);
	vec_deinit(&t->way);
}

static bool take(uint32_t **array, size_t n)
{
	*array = malloc(n * sizeof(**array));
	return *array != NULL;
}

static bool take_zero(uint32_t **array, size_t n)
{
	*array = calloc(n, sizeof(**array));
	return *array != NULL;
}

/* References and roots by position instead of object; leaves stay objects. */
static bool use_positions(struct reach *r)
{
	uint32_t *position;

	if (!take(&position, (size_t)r->w->n + 1))
		return false;
	for (uint32_t i = 0; i < r->w->n; i++)
		position[i] = LEAF | i;
	for (uint32_t p = 0; p < r->reached; p++)
		position[r->order[p]] = p;
	vec_each(to, &r->to)
		*to = position[*to];
	vec_each(root, &r->roots)
		root->position = position[root->object];
	free(position);
	return true;
}

/* A position met for the first time gets the next number, and its references come first. */
static bool visit(struct tree *t, const struct reach *r, uint32_t position, uint32_t parent)
{
	t->vertex[position] = t->n;
	t->object[t->n] = r->order[position];
	t->idom[t->n++] = parent;
	return !vec_push(&t->visits, (struct visit){ position, r->first[position] });
}

/* Numbers what one root reaches. */
static bool search_from(struct tree *t, const struct reach *r, uint32_t root)
{
	if (root & LEAF || t->vertex[root])
		return true;
	if (!visit(t, r, root, 0))
		return false;
	while (t->visits.n) {
		struct visit *at = &t->visits.v[t->visits.n - 1];
		uint32_t to;

		if (at->edge == r->first[at->position + 1]) {
			t->visits.n--;
			continue;
		}
		to = r->to.v[at->edge++];
		if (!(to & LEAF) && !t->vertex[to] && !visit(t, r, to, t->vertex[at->position]))
			return false;
	}
	return true;
}

static bool search(struct tree *t, struct reach *r)
{
	size_t n = (size_t)r->reached + 2;
	bool done = take_zero(&t->vertex, n) && take(&t->object, n) && take(&t->idom, n);

	t->n = 1;
	vec_each(root, &r->roots)
		done = done && search_from(t, r, root->position);
	vec_deinit(&t->visits);
	drop(&r->order);
	if (done)
		t->idom[0] = 0;
	return done;
}

/* Counts of n things to where each one's begin, at [i + 1], to be moved on; the sum. */
static uint32_t add_up(uint32_t *first, uint32_t n)
{
	uint32_t sum = 0;

	for (uint32_t v = 0; v <= n; v++) {
		uint32_t k = first[v + 1];

		first[v + 1] = sum;
		sum += k;
	}
	return sum;
}

/* Leaves by vertex, in lists of their own; only references between vertices stay in r->to. */
static bool part_leaves(struct tree *t, struct reach *r)
{
	uint32_t n = 0, from = 0;

	if (!take_zero(&t->leaf_first, (size_t)t->n + 2))
		return false;
	for (uint32_t p = 0; p < r->reached; p++)
		for (uint32_t e = r->first[p]; e < r->first[p + 1]; e++)
			t->leaf_first[t->vertex[p] + 1] += !!(r->to.v[e] & LEAF);
	if (!take(&t->leaf, (size_t)add_up(t->leaf_first, t->n) + 1))
		return false;
	for (uint32_t p = 0; p < r->reached; p++) {
		uint32_t end = r->first[p + 1];

		for (uint32_t e = from; e < end; e++)
			if (r->to.v[e] & LEAF)
				t->leaf[t->leaf_first[t->vertex[p] + 1]++] = r->to.v[e] & ~LEAF;
			else
				r->to.v[n++] = r->to.v[e];
		from = end;
		r->first[p + 1] = n;
	}
	r->to.n = n;
	vec_shrink(&r->to);
	return true;
}

static void drop_edges(struct reach *r)
{
	free(r->first);
	r->first = NULL;
	vec_deinit(&r->to);
}

/* Who refers to each vertex. */
static bool find_preds(struct tree *t, struct reach *r)
{
	if (!take_zero(&t->pred_first, (size_t)t->n + 2))
		return false;
	vec_each(to, &r->to)
		t->pred_first[t->vertex[*to] + 1]++;
	vec_each(root, &r->roots)
		if (!(root->position & LEAF))
			t->pred_first[t->vertex[root->position] + 1]++;
	if (!take(&t->pred, (size_t)add_up(t->pred_first, t->n) + 1))
		return false;
	vec_each(root, &r->roots)
		if (!(root->position & LEAF))
			t->pred[t->pred_first[t->vertex[root->position] + 1]++] = 0;
	for (uint32_t p = 0; p < r->reached; p++)
		for (uint32_t e = r->first[p]; e < r->first[p + 1]; e++)
			t->pred[t->pred_first[t->vertex[r->to.v[e]] + 1]++] = t->vertex[p];
	drop(&t->vertex);
	drop_edges(r);
	return true;
}

/* The vertex of smallest semi-dominator on the way up to `last`, shortening the way; 0: no memory. */
static uint32_t eval(struct tree *t, uint32_t v, uint32_t last)
{
	if (v <= last)
		return v;
	t->way.n = 0;
	for (uint32_t u = v; t->ancestor[u] > last; u = t->ancestor[u])
		if (vec_push(&t->way, u))
			return 0;
	while (t->way.n) {
		uint32_t x = t->way.v[--t->way.n], up = t->ancestor[x];

		if (t->semi[t->label[up]] < t->semi[t->label[x]])
			t->label[x] = t->label[up];
		t->ancestor[x] = t->ancestor[up];
	}
	return t->label[v];
}

static bool find_semi(struct tree *t, uint32_t v)
{
	t->semi[v] = t->idom[v];
	for (uint32_t e = t->pred_first[v]; e < t->pred_first[v + 1]; e++) {
		uint32_t u = eval(t, t->pred[e], v);

		if (!u && t->pred[e])
			return false;
		if (t->semi[u] < t->semi[v])
			t->semi[v] = t->semi[u];
	}
	t->label[v] = v;
	return true;
}

static bool find_semis(struct tree *t)
{
	bool done = true;

	if (!take(&t->ancestor, t->n) || !take(&t->semi, t->n) || !take(&t->label, t->n))
		return false;
	for (uint32_t v = 0; v < t->n; v++) {
		t->ancestor[v] = t->idom[v];
		t->label[v] = v;
		t->semi[v] = v;
	}
	for (uint32_t v = t->n - 1; done && v > 0; v--)
		done = find_semi(t, v);
	drop(&t->pred);
	drop(&t->pred_first);
	drop(&t->label);
	vec_deinit(&t->way);
	return done;
}

/*
 * The nearest ancestor in the tree so far whose number is not above the semi-dominator's. Numbers
 * fall on the way up, so a jump that does not go too far may be taken.
 */
static void build_tree(struct tree *t)
{
	uint32_t *jump = t->ancestor, *depth = t->semi;

	jump[0] = depth[0] = 0;
	for (uint32_t v = 1; v < t->n; v++) {
		uint32_t semi = t->semi[v], u = t->idom[v];

		while (u > semi)
			u = jump[u] > semi ? jump[u] : t->idom[u];
		t->idom[v] = u;
		depth[v] = depth[u] + 1;
		jump[v] = depth[u] - depth[jump[u]] == depth[jump[u]] - depth[jump[jump[u]]]
				  ? jump[jump[u]] : u;
	}
	drop(&t->semi);
}

/* Counts the tree from above, so that whether one is under another takes one look. */
static bool count_tree(struct tree *t)
{
	uint32_t *size;

	if (!take(&t->from, t->n) || !take(&t->end, t->n) || !take(&size, t->n))
		return false;
	for (uint32_t v = 0; v < t->n; v++)
		size[v] = 1;
	for (uint32_t v = t->n - 1; v > 0; v--)
		size[t->idom[v]] += size[v];
	t->from[0] = 0;
	t->end[0] = 1;
	for (uint32_t v = 1; v < t->n; v++) { /* end moves on with each child */
		uint32_t *end = &t->end[t->idom[v]];

		t->from[v] = *end;
		t->end[v] = *end + 1;
		*end += size[v];
	}
	free(size);
	return true;
}

static bool covers(const struct tree *t, uint32_t a, uint32_t b)
{
	return t->from[b] - t->from[a] < t->end[a] - t->from[a];
}

static uint32_t common_ancestor(const struct tree *t, uint32_t a, uint32_t b)
{
	while (!covers(t, a, b))
		a = covers(t, t->ancestor[a], b) ? t->idom[a] : t->ancestor[a];
	return a;
}

static bool place_leaves(struct tree *t, const struct reach *r)
{
	if (!take(&t->leaf_idom, (size_t)r->w->n + 1))
		return false;
	for (uint32_t i = 0; i < r->w->n; i++)
		t->leaf_idom[i] = REACH_NONE;
	vec_each(root, &r->roots)
		if (root->position & LEAF)
			t->leaf_idom[root->object] = 0;
	for (uint32_t v = 1; v < t->n; v++)
		for (uint32_t e = t->leaf_first[v]; e < t->leaf_first[v + 1]; e++) {
			uint32_t *at = &t->leaf_idom[t->leaf[e]];

			*at = *at == REACH_NONE ? v : common_ancestor(t, *at, v);
		}
	drop(&t->leaf_first);
	drop(&t->leaf);
	drop(&t->ancestor);
	drop(&t->from);
	drop(&t->end);
	return true;
}

/* A vertex comes before all it dominates. */
static bool sum_up(struct tree *t, struct reach *r)
{
	uint64_t *sum = calloc((size_t)t->n + 1, sizeof(*sum));

	for (uint32_t i = 0; sum && i < r->w->n; i++)
		if (t->leaf_idom[i] != REACH_NONE)
			sum[t->leaf_idom[i]] += walk_bytes(r->w, &r->w->obj[i]);
	drop(&t->leaf_idom);
	r->retained = sum ? calloc((size_t)r->w->n + 1, sizeof(*r->retained)) : NULL;
	for (uint32_t i = 0; r->retained && i < r->w->n; i++)
		if (reach_is_live(r, i))
			r->retained[i] = walk_bytes(r->w, &r->w->obj[i]);
	for (uint32_t v = t->n - 1; r->retained && v > 0; v--) {
		r->retained[t->object[v]] = sum[v] += r->retained[t->object[v]];
		sum[t->idom[v]] += sum[v];
	}
	free(sum);
	return r->retained != NULL;
}

int reach_retained(struct reach *r)
{
	struct tree t = { 0 };
	bool done = use_positions(r) && search(&t, r) && part_leaves(&t, r) && find_preds(&t, r) &&
		    find_semis(&t);

	drop_edges(r);
	if (done) {
		build_tree(&t);
		done = count_tree(&t) && place_leaves(&t, r) && sum_up(&t, r);
	}
	tree_deinit(&t);
	return done ? 0 : -ENOMEM;
}
