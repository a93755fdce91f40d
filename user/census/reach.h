/* SPDX-License-Identifier: MIT */
/*
 * reach: which objects of a walked heap are held by the VM, by whom first, and how many bytes
 * would go with each. Part of the stage census. No recursion: the heap is a stranger's.
 *
 * Breadth first from the globals and the registry, and only then from stacks: a path by names says
 * more than one that begins at a slot of some stack.
 */
#ifndef LMT_CENSUS_REACH_H
#define LMT_CENSUS_REACH_H

#include <stdbool.h>
#include <stdint.h>

#include "edges.h"
#include "walk.h"

#define REACH_NONE UINT32_MAX /* nobody holds it: garbage */
#define REACH_ROOT 0x80000000u /* | number of the root that holds it */

struct reach_root {
	uint32_t object;
	uint32_t position; /* in order; for reach_retained() alone */
	enum edge edge;
	uint64_t key;
};

struct reach {
	const struct walk *w;
	struct edges edges;
	uint32_t *parent;      /* by object: who holds it, a root, or REACH_NONE */
	uint32_t *order;       /* what refers to others, as it was met; reached of them */
	uint32_t reached;
	vec_of(struct reach_root) roots;
	/* Who refers to whom, by position in order. Used up, with the order, by reach_retained(). */
	vec_of(uint32_t) to;
	uint32_t *first;
	uint64_t *retained;    /* by object; NULL: not computed */
};

/* -ENOMEM. w must stay. */
int reach_build(struct reach *r, const struct walk *w);
void reach_deinit(struct reach *r);

/* Bytes that only each object keeps alive, itself included (dominator tree). -ENOMEM. */
int reach_retained(struct reach *r);

/* Strings and C data refer to nothing. */
static inline bool reach_is_end(const struct census_object *o)
{
	return o->kind == CENSUS_STRING || o->kind == CENSUS_CDATA;
}

static inline bool reach_is_live(const struct reach *r, uint32_t object)
{
	return r->parent[object] != REACH_NONE;
}

#endif
