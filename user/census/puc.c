/* SPDX-License-Identifier: MIT */
#include "puc.h"

#define SHORT_STRING 4
#define LEN_FIXED (-2) /* 5.5, shrlen of a long string: its text lies in memory that is not Lua's */
#define LEN_REGULAR (-1)
/*
 * 5.4: alimit may not be the array's size (lobject.h: BITRAS; in 5.4.0 among the collector's marks,
 * else in the flags).
 */
#define REAL_SIZE_UNSURE 0x80

/* 5.5: the text of a long string may be elsewhere. */
static void text_55(const struct walk *w, const uint8_t *p, struct puc_text *t)
{
	int how = (int8_t)walk_get(p, w->l->S_shrlen);

	t->text = walk_get(p, w->l->S_contents);
	t->len = walk_get(p, w->l->S_len);
	if (how == LEN_REGULAR)
		t->block = (uint64_t)w->c->S_falloc.off + t->len + 1;
	else if (how == LEN_FIXED)
		t->block = (uint64_t)w->c->S_falloc.off;
	else
		t->block = (uint64_t)w->c->S_falloc.off + 16;
}

bool puc_text(const struct walk *w, uint64_t s, struct puc_text *ret)
{
	int at = layout_has(w->l->S_contents) ? w->l->S_contents.off : w->l->size_str.off;
	const uint8_t *p = image_at(w->im, s, 24);
	bool is_short;

	if (!p)
		return false;
	is_short = (p[8] & 0x3f) == SHORT_STRING && layout_has(w->l->S_shrlen);
	if (!is_short && !image_at(w->im, s, (uint64_t)w->l->S_len.off + 8))
		return false;
	if (!is_short && w->l->version >= 505) {
		if (!image_at(w->im, s, (uint64_t)w->l->S_contents.off + 8))
			return false;
		text_55(w, p, ret);
		return true;
	}
	ret->text = s + (uint64_t)at;
	ret->len = is_short ? walk_get(p, w->l->S_shrlen) : walk_get(p, w->l->S_len);
	ret->block = (uint64_t)at + ret->len + 1;
	return true;
}

static uint64_t power_of_two(uint64_t n)
{
	return n <= 1 ? n : 1ull << (64 - __builtin_clzll(n - 1));
}

/* An empty hash part is a static node: of a module, not of the heap. */
static bool is_static(const struct walk *w, uint64_t node)
{
	const struct image_span *s = image_span_of(w->im, node);
	const struct proc_map *map = s ? NULL : proc_find_map(w->maps, node);

	return s ? s->of_file : map && (map->inode || !(map->prot & PROC_W));
}

bool puc_table(const struct walk *w, uint64_t at, struct puc_table *t)
{
	const uint8_t *p = image_at(w->im, at, (uint64_t)w->l->size_tab.off);
	uint64_t nodes;

	if (!p)
		return false;
	t->array = walk_get(p, w->l->T_array);
	t->array_n = walk_get(p, w->l->T_sizearray);
	t->node = walk_get(p, w->l->T_node);
	t->meta = walk_get(p, w->l->T_meta);
	t->log_nodes = (unsigned int)walk_get(p, w->l->T_lsizenode);
	t->flags = (uint8_t)walk_get(p, w->c->T_flags);
	if (layout_has(w->c->T_unsure) && walk_get(p, w->c->T_unsure) & REAL_SIZE_UNSURE)
		t->array_n = power_of_two(t->array_n);
	if (t->log_nodes > 31)
		return false;
	t->no_nodes = !t->log_nodes && is_static(w, t->node);
	nodes = t->no_nodes ? 0 : (uint64_t)w->l->size_node.off << t->log_nodes;
	t->block = (uint64_t)w->l->size_tab.off;
	if (w->l->version >= 505)
		t->block += (t->array_n ? 9 * t->array_n + 4 : 0) + nodes +
			    (nodes && t->log_nodes >= 3 ? 8 : 0);
	else
		t->block += 16 * t->array_n + nodes;
	return true;
}

uint64_t puc_userdata_head(const struct walk *w, const uint8_t *u, uint64_t *n_ret)
{
	if (!layout_has(w->c->U_nuvalue)) {
		*n_ret = 0;
		return (uint64_t)w->c->size_udata.off;
	}
	*n_ret = walk_get(u, w->c->U_nuvalue);
	/* Without user values the list for the collector, behind the metatable, is left out too, and what aligns them. */
	return *n_ret ? (uint64_t)w->c->U_uv.off + 16 * *n_ret : (uint64_t)w->c->U_meta.off + 8;
}
