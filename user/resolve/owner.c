/* SPDX-License-Identifier: MIT */
#include "owner.h"

#include <stddef.h>

#define MAX_OBJECTS 4096 /* of the object list looked at for an empty table */
#define MAX_VOTES 8
#define TAG_TABLE 5

/* LuaJIT: the dispatch table points into the interpreter. */
static const struct module *owner_luajit(const struct target *t, const struct memread *mem,
					const struct lua_state *st)
{
	const struct lmt_layout *l = &st->layout->l;
	uint64_t code;

	if (!layout_has(l->GG_dispatch) ||
	    !memread_uint(mem, st->L + (uint64_t)l->GG_dispatch.off, 8, &code))
		return NULL;
	return target_module_at(t, code);
}

/* PUC 5.2 and 5.3: global_State points at the version number of its copy. */
static const struct module *owner_by_version(const struct target *t, const struct memread *mem,
					    const struct lua_state *st)
{
	const struct lmt_layout *l = &st->layout->l;
	uint64_t at;

	if (l->version != 502 && l->version != 503)
		return NULL;
	if (!memread_uint(mem, st->G + (uint64_t)l->G_version.off, 8, &at))
		return NULL;
	return target_module_at(t, at);
}

/* The static node that an empty table of this copy points at, or 0. */
static uint64_t dummy_node(const struct target *t, const struct lmt_layout *l,
			   const uint8_t *table, size_t size)
{
	uint64_t node = shape_get(table, size, l->T_node);
	const struct proc_map *map;

	if (shape_get(table, size, l->T_lsizenode) != 0)
		return 0;
	map = proc_find_map(&t->maps, node);
	return map && map->inode && !(map->prot & PROC_W) ? node : 0;
}

/*
 * PUC: tables with an empty hash part point at a static node of the copy that made them. Most
 * tables of a state are its own copy's, so the first few found decide by majority. The process
 * runs on meanwhile: every object is checked and the walk is bounded.
 */
static const struct module *owner_by_dummy(const struct target *t, const struct memread *mem,
					  const struct lua_state *st)
{
	const struct lmt_layout *l = &st->layout->l;
	const struct module *best = NULL;
	size_t size = (size_t)l->size_tab.off;
	uint8_t table[96];
	uint64_t obj;
	int lead = 0, votes = 0;

	if (size > sizeof(table) || !memread_uint(mem, st->G + (uint64_t)l->G_allgc.off, 8, &obj))
		return NULL;
	for (int i = 0; i < MAX_OBJECTS && obj && votes < MAX_VOTES; i++) {
		const struct module *m;
		uint64_t node;

		if (!memread_exact(mem, obj, table, 16))
			break;
		if (table[8] == TAG_TABLE && memread_exact(mem, obj, table, size) &&
		    (node = dummy_node(t, l, table, size)) && (m = target_module_at(t, node))) {
			votes++;
			lead += lead == 0 || m == best ? 1 : -1;
			if (lead == 1 && m != best)
				best = m;
		}
		obj = mem_uint(table, 8);
	}
	return best;
}

const struct module *owner_of_state(const struct target *t, const struct memread *mem,
				   const struct lua_state *st, const char **evidence_ret)
{
	const struct module *m;

	if (st->layout->l.family == LMT_FAMILY_LUAJIT) {
		*evidence_ret = "dispatch table";
		return owner_luajit(t, mem, st);
	}
	*evidence_ret = "version pointer";
	m = owner_by_version(t, mem, st);
	if (m)
		return m;
	*evidence_ret = "empty table node";
	return owner_by_dummy(t, mem, st);
}
