/* SPDX-License-Identifier: MIT */
#include "edges.h"

#include <string.h>

#define MODE_NUMBER 3 /* __mode among the metamethods, in every release */

void edges_init(struct edges *e, const struct walk *w)
{
	*e = (struct edges){ .w = w };
}

void edges_deinit(struct edges *e)
{
	hashmap_deinit(&e->modes);
}

static bool is_puc(const struct edges *e)
{
	return e->w->l->family == LMT_FAMILY_PUC;
}

void edges_of(struct edges *e, const struct census_object *o, const struct edge_sink *to)
{
	if (o->kind == CENSUS_STRING)
		return;
	if (is_puc(e))
		edges_puc(e, o, to);
	else
		edges_luajit(e, o, to);
}

void edges_roots(struct edges *e, const struct edge_sink *to)
{
	if (is_puc(e))
		edges_puc_roots(e, to);
	else
		edges_luajit_roots(e, to);
}

/* The string "__mode", as the VM keeps it. */
static uint64_t mode_name(const struct walk *w)
{
	if (w->l->family == LMT_FAMILY_PUC)
		return walk_u64(w->g + w->l->G_tmname.off + 8 * MODE_NUMBER);
	return walk_ref(w, w->g + w->c->G_gcroot.off + w->ref * MODE_NUMBER);
}

static unsigned int read_mode(const struct walk *w, uint64_t meta)
{
	uint64_t value = edges_field(w, meta, mode_name(w)), len;
	const uint8_t *text;

	if (!value || !edges_text(w, value, &text, &len))
		return 0;
	return (memchr(text, 'k', len) ? WEAK_KEYS : 0) | (memchr(text, 'v', len) ? WEAK_VALUES : 0);
}

unsigned int edges_weak(struct edges *e, uint64_t meta)
{
	uint64_t *known;

	if (!meta)
		return 0;
	known = hashmap_get_or_add(&e->modes, meta);
	if (!known)
		return 0;
	if (!*known) {
		unsigned int mode = read_mode(e->w, meta);

		known = hashmap_lookup(&e->modes, meta);
		*known = 1 + mode;
	}
	return (unsigned int)*known - 1;
}

void edges_number_key(struct edge_entry *en, uint64_t bits)
{
	double d;

	memcpy(&d, &bits, sizeof(d));
	en->edge = EDGE_NUMBER;
	en->key = bits;
	if (d >= -9e15 && d <= 9e15 && d == (double)(int64_t)d) {
		en->edge = EDGE_INDEX;
		en->key = (uint64_t)(int64_t)d;
	}
}

void edges_entry(const struct edge_sink *to, unsigned int weak, bool ephemerons,
		 const struct edge_entry *en)
{
	bool key_weak = weak & WEAK_KEYS && !en->key_is_string;
	bool value_weak = weak & WEAK_VALUES && !en->value_is_string;

	if (en->value_object && !value_weak) {
		if (key_weak && ephemerons && en->key_object && to->ephemeron)
			to->ephemeron(to->ctx, en->key_object, en->value_object, en->edge, en->key);
		else
			to->edge(to->ctx, en->value_object, en->edge, en->key);
	}
	if (en->key_object && !key_weak)
		to->edge(to->ctx, en->key_object, EDGE_KEY, 0);
}
