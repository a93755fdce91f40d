/* SPDX-License-Identifier: MIT */
/*
 * The reference flame graph: bytes by the way from a root. A tree of names; indexes are one name,
 * a table with very many fields too, and a list that goes on by the same name is one frame.
 */
#include "census.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CHILDREN 100u /* names under one frame, then they are put together */
#define MAX_NODES 100000u
#define MAX_DEPTH 60u
#define STACK_BYTES 4096

struct node {
	uint32_t parent, label, children, depth;
	uint64_t bytes[CENSUS_KIND_MAX], count[CENSUS_KIND_MAX];
};

struct folding {
	struct census *c;
	struct reach *r;
	vec_of(struct node) nodes;  /* 0: above all roots */
	struct hashmap by_name;     /* parent, label → node */
	uint32_t *node_of;          /* by object: node + 1 */
	uint32_t from;
	bool failed;
};

static uint32_t child(struct folding *f, uint32_t parent, uint32_t label)
{
	struct node *p = &f->nodes.v[parent];
	uint64_t *known;

	if (parent && (p->label == label || p->depth >= MAX_DEPTH))
		return parent;
	if (p->children >= MAX_CHILDREN || f->nodes.n >= MAX_NODES)
		label = strpool_add(f->c->pool, "[…]");
	known = hashmap_get_or_add(&f->by_name, ((uint64_t)parent << 32 | label) + 1);
	if (!known || (!*known && vec_push(&f->nodes, (struct node){ .parent = parent, .label = label,
			.depth = f->nodes.v[parent].depth + 1 }))) {
		f->failed = true;
		return parent;
	}
	if (!*known) {
		f->nodes.v[parent].children++;
		*known = f->nodes.n - 1;
	}
	return (uint32_t)*known;
}

static void on_edge(void *ctx, uint64_t to, enum edge edge, uint64_t key)
{
	struct folding *f = ctx;
	const struct walk *w = f->r->w;
	uint32_t n = walk_number(w, to), at = f->node_of[f->from] - 1;
	char text[200];

	if (n == IMAGE_NONE || f->r->parent[n] != f->from || f->node_of[n])
		return;
	if (edge == EDGE_VALUE) {
		f->node_of[n] = at + 1;
		return;
	}
	if (edge == EDGE_INDEX || edge == EDGE_NUMBER || edge == EDGE_OBJECT)
		snprintf(text, sizeof(text), "[*]");
	else if (edge == EDGE_SLOT)
		snprintf(text, sizeof(text), "stack");
	else if (edge == EDGE_CONSTANT)
		snprintf(text, sizeof(text), "constants");
	else
		path_step(w, &w->obj[f->from], edge, key, text, sizeof(text));
	f->node_of[n] = child(f, at, strpool_add(f->c->pool, text)) + 1;
}

static void name_one(struct folding *f, uint32_t object)
{
	const struct reach *r = f->r;
	uint32_t parent = r->parent[object];

	if (parent & REACH_ROOT) {
		const struct reach_root *root = &r->roots.v[parent & ~REACH_ROOT];
		const char *name = path_root_name(root->edge, root->key,
						  r->w->l->family == LMT_FAMILY_PUC);

		f->node_of[object] = child(f, 0, strpool_add(f->c->pool, name)) + 1;
	}
	if (!f->node_of[object]) /* a value kept by an ephemeron table */
		f->node_of[object] = child(f, f->node_of[parent] ? f->node_of[parent] - 1 : 0,
					   strpool_add(f->c->pool, "[*]")) + 1;
}

static void count_one(struct folding *f, uint32_t object)
{
	const struct census_object *o = &f->r->w->obj[object];
	struct node *n = &f->nodes.v[f->node_of[object] - 1];

	n->bytes[o->kind] += walk_bytes(f->r->w, o);
	n->count[o->kind]++;
}

static void name_all(struct folding *f)
{
	const struct edge_sink sink = { .ctx = f, .edge = on_edge };
	struct reach *r = f->r;

	for (uint32_t i = 0; i < r->reached && !f->failed; i++) {
		f->from = r->order[i];
		name_one(f, f->from);
		edges_of(&r->edges, &r->w->obj[f->from], &sink);
	}
	for (uint32_t i = 0; i < r->w->n && !f->failed; i++) {
		if (!reach_is_live(r, i))
			continue;
		name_one(f, i);
		count_one(f, i);
	}
}

/* ';' parts frames and a line is one stack, so neither may stand in a name. */
static void put_label(char *out, size_t size, const char *label)
{
	size_t n = strlen(out);

	for (; *label && n + 2 < size; label++)
		out[n++] = *label == ';' || (unsigned char)*label < ' ' ? '?' : *label;
	out[n] = '\0';
}

static void put_stack(struct folding *f, uint32_t node, enum census_kind kind, char *out, size_t size)
{
	uint32_t chain[MAX_DEPTH + 2], n = 0;

	*out = '\0';
	for (; node && n < MAX_DEPTH + 2; node = f->nodes.v[node].parent)
		chain[n++] = node;
	while (n--) {
		put_label(out, size, strpool_get(f->c->pool, f->nodes.v[chain[n]].label));
		strncat(out, ";", size - strlen(out) - 1);
	}
	put_label(out, size, census_kind_name(kind));
}

static int write_stacks(struct folding *f, struct census_state *s)
{
	char text[STACK_BYTES];

	for (uint32_t i = 0; i < f->nodes.n; i++) {
		for (unsigned int k = 0; k < CENSUS_KIND_MAX; k++) {
			const struct node *n = &f->nodes.v[i];

			if (!n->count[k])
				continue;
			put_stack(f, i, k, text, sizeof(text));
			if (vec_push(&s->stacks, (struct census_stack){
					.text = strpool_add(f->c->pool, text),
					.bytes = n->bytes[k], .count = n->count[k] }))
				return -ENOMEM;
		}
	}
	return 0;
}

int census_fold(struct census *c, struct census_state *s, struct reach *r)
{
	struct folding f = { .c = c, .r = r };
	int rc = -ENOMEM;

	f.node_of = calloc((size_t)r->w->n + 1, sizeof(*f.node_of));
	if (f.node_of && !vec_push(&f.nodes, (struct node){ 0 })) {
		name_all(&f);
		rc = f.failed ? -ENOMEM : write_stacks(&f, s);
	}
	free(f.node_of);
	vec_deinit(&f.nodes);
	hashmap_deinit(&f.by_name);
	return rc;
}
