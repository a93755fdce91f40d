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
 * memory small; arrays live no longer than they are needed, for the same reason.
 */
#include "reach.h"

#include <errno.h>
#include <stdlib.h>

#define LEAF 0x80000000u /* in reach.to: | object, which refers to nothing */

struct tree {
	uint32_t n;         /* vertices, 0 included */
	uint32_t *vertex;   /* by position in reach.order */
	uint32_t *object;   /* by vertex */
	uint32_t *idom;     /* by vertex; at first: parent in the search */
	uint32_t *ancestor; /* parent, later shortened; then: jump */
	uint32_t *semi;     /* then: depth */
	uint32_t *label;
	uint32_t *stack;
	uint32_t *pred_first, *pred;
	uint32_t *from, *end; /* the vertices under each are these, counted from above */
	uint32_t *leaf_idom; /* by object */
};

static void drop(uint32_t **array)
{
	free(*array);
	*array = NULL;
}

static void tree_deinit(struct tree *t)
{
	drop(&t->vertex);
	drop(&t->object);
	drop(&t->idom);
	drop(&t->ancestor);
	drop(&t->semi);
	drop(&t->label);
	drop(&t->stack);
	drop(&t->pred_first);
	drop(&t->pred);
	drop(&t->from);
	drop(&t->end);
	drop(&t->leaf_idom);
}

static bool take(uint32_t **array, size_t n)
{
	*array = malloc(n * sizeof(**array));
	return *array != NULL;
}

static bool is_leaf(const struct reach *r, uint32_t position)
{
	return r->first[position] == r->first[position + 1];
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
		if (!is_leaf(r, p))
			position[r->order[p]] = p;
	vec_each(to, &r->to)
		*to = position[*to];
	vec_each(root, &r->roots)
		root->position = position[root->object];
	free(position);
	return true;
}

/* Numbers what one root reaches. edge: as long as the stack. Returns the next free number. */
static uint32_t search_from(struct tree *t, const struct reach *r, uint32_t *edge, uint32_t root,
			    uint32_t next)
{
	uint32_t *at = t->stack, depth = 0;

	if (root & LEAF || t->vertex[root])
		return next;
	t->vertex[root] = next;
	t->object[next] = r->order[root];
	t->idom[next++] = 0;
	at[0] = root;
	edge[0] = r->first[root];
	for (;;) {
		uint32_t p = at[depth], to;

		if (edge[depth] == r->first[p + 1]) {
			if (!depth--)
				return next;
			continue;
		}
		to = r->to.v[edge[depth]++];
		if (to & LEAF || t->vertex[to])
			continue;
		t->vertex[to] = next;
		t->object[next] = r->order[to];
		t->idom[next++] = t->vertex[p];
		at[++depth] = to;
		edge[depth] = r->first[to];
	}
}

static bool search(struct tree *t, struct reach *r)
{
	size_t n = (size_t)r->reached + 2;
	uint32_t *edge = NULL, next = 1;

	t->vertex = calloc(n, sizeof(*t->vertex));
	if (!t->vertex || !take(&t->object, n) || !take(&t->idom, n) || !take(&t->stack, n) ||
	    !take(&edge, n))
		return false;
	vec_each(root, &r->roots)
		next = search_from(t, r, edge, root->position, next);
	free(edge);
	t->n = next;
	t->idom[0] = 0;
	drop(&r->order);
	return true;
}

/* Who refers to each vertex, by a count and then from the front: pred_first[v + 1] moves on. */
static bool find_preds(struct tree *t, const struct reach *r)
{
	uint32_t sum = 0;

	t->pred_first = calloc((size_t)t->n + 2, sizeof(*t->pred_first));
	if (!t->pred_first)
		return false;
	vec_each(to, &r->to)
		if (!(*to & LEAF))
			t->pred_first[t->vertex[*to] + 1]++;
	vec_each(root, &r->roots)
		if (!(root->position & LEAF))
			t->pred_first[t->vertex[root->position] + 1]++;
	for (uint32_t v = 0; v <= t->n; v++) {
		uint32_t k = t->pred_first[v + 1];

		t->pred_first[v + 1] = sum;
		sum += k;
	}
	if (!take(&t->pred, (size_t)sum + 1))
		return false;
	vec_each(root, &r->roots)
		if (!(root->position & LEAF))
			t->pred[t->pred_first[t->vertex[root->position] + 1]++] = 0;
	for (uint32_t p = 0; p < r->reached; p++)
		for (uint32_t e = r->first[p]; e < r->first[p + 1]; e++)
			if (!(r->to.v[e] & LEAF))
				t->pred[t->pred_first[t->vertex[r->to.v[e]] + 1]++] = t->vertex[p];
	return true;
}

/* Only references to leaves are needed from now on. */
static void keep_leaves(struct reach *r)
{
	uint32_t n = 0, from = 0;

	for (uint32_t p = 0; p < r->reached; p++) {
		uint32_t end = r->first[p + 1];

		for (uint32_t e = from; e < end; e++)
			if (r->to.v[e] & LEAF)
				r->to.v[n++] = r->to.v[e];
		from = end;
		r->first[p + 1] = n;
	}
	r->to.n = n;
	vec_shrink(&r->to);
}

/* The vertex of smallest semi-dominator on the way up to `last`, shortening the way. */
static uint32_t eval(struct tree *t, uint32_t v, uint32_t last)
{
	uint32_t n = 0, u = v;

	if (v <= last)
		return v;
	while (t->ancestor[u] > last) {
		t->stack[n++] = u;
		u = t->ancestor[u];
	}
	while (n) {
		uint32_t x = t->stack[--n], up = t->ancestor[x];

		if (t->semi[t->label[up]] < t->semi[t->label[x]])
			t->label[x] = t->label[up];
		t->ancestor[x] = t->ancestor[up];
	}
	return t->label[v];
}

static bool find_semis(struct tree *t)
{
	if (!take(&t->ancestor, t->n) || !take(&t->semi, t->n) || !take(&t->label, t->n))
		return false;
	for (uint32_t v = 0; v < t->n; v++) {
		t->ancestor[v] = t->idom[v];
		t->label[v] = v;
		t->semi[v] = v;
	}
	for (uint32_t v = t->n - 1; v > 0; v--) {
		t->semi[v] = t->idom[v];
		for (uint32_t e = t->pred_first[v]; e < t->pred_first[v + 1]; e++) {
			uint32_t u = eval(t, t->pred[e], v);

			if (t->semi[u] < t->semi[v])
				t->semi[v] = t->semi[u];
		}
		t->label[v] = v;
	}
	drop(&t->pred);
	drop(&t->pred_first);
	drop(&t->stack);
	drop(&t->label);
	return true;
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

static uint32_t common_ancestor(const struct tree *t, uint32_t a, uint32_t b)
{
	const uint32_t *jump = t->ancestor, *depth = t->semi;

	if (depth[a] > depth[b]) {
		uint32_t c = a;

		a = b;
		b = c;
	}
	while (depth[b] > depth[a])
		b = depth[jump[b]] >= depth[a] ? jump[b] : t->idom[b];
	while (a != b) {
		bool far = jump[a] == jump[b]; /* at or above the one that is looked for */

		a = far ? t->idom[a] : jump[a];
		b = far ? t->idom[b] : jump[b];
	}
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
	for (uint32_t p = 0; p < r->reached; p++) {
		uint32_t v = t->vertex[p];

		for (uint32_t e = r->first[p]; e < r->first[p + 1]; e++) {
			uint32_t *at = &t->leaf_idom[r->to.v[e] & ~LEAF];

			if (*at == REACH_NONE)
				*at = v;
			else if (t->from[v] - t->from[*at] >= t->end[*at] - t->from[*at])
				*at = common_ancestor(t, *at, v);
		}
	}
	return true;
}

static void drop_edges(struct reach *r)
{
	free(r->first);
	r->first = NULL;
	vec_deinit(&r->to);
}

/* A vertex comes before all it dominates. */
static bool sum_up(struct tree *t, struct reach *r)
{
	uint64_t *sum = calloc((size_t)t->n + 1, sizeof(*sum));

	r->retained = sum ? calloc((size_t)r->w->n + 1, sizeof(*r->retained)) : NULL;
	for (uint32_t i = 0; r->retained && i < r->w->n; i++) {
		if (t->leaf_idom[i] == REACH_NONE)
			continue;
		r->retained[i] = r->w->obj[i].bytes;
		sum[t->leaf_idom[i]] += r->w->obj[i].bytes;
	}
	for (uint32_t v = t->n - 1; r->retained && v > 0; v--) {
		sum[v] += r->w->obj[t->object[v]].bytes;
		sum[t->idom[v]] += sum[v];
		r->retained[t->object[v]] = sum[v];
	}
	free(sum);
	return r->retained != NULL;
}

int reach_retained(struct reach *r)
{
	struct tree t = { 0 };
	bool done = use_positions(r) && search(&t, r) && find_preds(&t, r);

	if (done) {
		keep_leaves(r);
		done = find_semis(&t);
	}
	if (done) {
		build_tree(&t);
		done = count_tree(&t) && place_leaves(&t, r);
	}
	drop_edges(r);
	drop(&t.vertex);
	drop(&t.ancestor);
	drop(&t.semi);
	drop(&t.from);
	drop(&t.end);
	done = done && sum_up(&t, r);
	tree_deinit(&t);
	return done ? 0 : -ENOMEM;
}
