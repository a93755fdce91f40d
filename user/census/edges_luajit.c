/* SPDX-License-Identifier: MIT */
/* What objects of LuaJIT hold (lj_gc.c: gc_traverse_…). */
#include "edges.h"

#include <string.h>

#include "luajit.h"

#define FIXED 0x20      /* mark of strings that the VM itself keeps */
#define REF_BIAS 0x8000 /* of a trace's instructions: constants lie below */
#define UDTYPE_BUFFER 3
#define MAX_TRACE 65535

static void give(const struct edge_sink *to, uint64_t o, enum edge edge, uint64_t key)
{
	if (o)
		to->edge(to->ctx, o, edge, key);
}

static void each_tv(const struct walk *w, uint64_t at, uint64_t n, enum edge edge, uint64_t first,
		    const struct edge_sink *to)
{
	const uint8_t *p = n ? image_at(w->im, at, 8 * n) : NULL;

	for (uint64_t i = 0; p && i < n; i++)
		give(to, lj_tv_object(w, p + 8 * i), edge, first + i);
}

static bool is_string(const struct walk *w, const uint8_t *tv)
{
	uint64_t v = walk_u64(tv);
	uint32_t itype = w->ref == 8 ? (uint32_t)((int64_t)v >> 47) : (uint32_t)(v >> 32);

	return itype == ~(uint32_t)LJ_STRING;
}

static void set_key(const struct walk *w, const uint8_t *tv, struct edge_entry *en)
{
	uint64_t v = walk_u64(tv);
	uint32_t itype = w->ref == 8 ? (uint32_t)((int64_t)v >> 47) : (uint32_t)(v >> 32);

	en->key_object = lj_tv_object(w, tv);
	en->key_is_string = is_string(w, tv);
	en->edge = EDGE_OBJECT;
	en->key = en->key_object;
	if (en->key_is_string)
		en->edge = EDGE_FIELD;
	else if (itype == ~1u || itype == ~2u)
		en->edge = EDGE_BOOL, en->key = itype == ~2u;
	else if (itype == ~13u) /* an integer, in builds that have them */
		en->edge = EDGE_INDEX, en->key = (uint64_t)(int64_t)(int32_t)v;
	else if (!en->key_object && (w->ref == 8 ? itype < ~13u : itype < 0xfffeffffu))
		edges_number_key(en, v);
}

static void of_table(struct edges *e, uint64_t at, const struct edge_sink *to)
{
	const struct walk *w = e->w;
	struct lj_table t;
	const uint8_t *p;
	unsigned int weak;

	if (!lj_table(w, at, &t))
		return;
	give(to, t.meta, EDGE_METATABLE, 0);
	weak = edges_weak(e, t.meta);
	p = t.array_n ? image_at(w->im, t.array, 8 * t.array_n) : NULL;
	for (uint64_t i = 0; p && i < t.array_n; i++) {
		struct edge_entry en = { .value_object = lj_tv_object(w, p + 8 * i),
					 .value_is_string = is_string(w, p + 8 * i),
					 .edge = EDGE_INDEX, .key = i };

		if (en.value_object)
			edges_entry(to, weak, false, &en);
	}
	p = t.nodes ? image_at(w->im, t.node, t.nodes * (uint64_t)w->l->size_node.off) : NULL;
	for (uint64_t i = 0; p && i < t.nodes; i++, p += w->l->size_node.off) {
		struct edge_entry en = { .value_object = lj_tv_object(w, p + w->c->node_val.off),
					 .value_is_string = is_string(w, p + w->c->node_val.off) };

		if (lj_tv_is_nil(w, p + w->c->node_val.off))
			continue;
		set_key(w, p + w->c->node_key.off, &en);
		edges_entry(to, weak, false, &en);
	}
}

static void of_function(const struct walk *w, const struct census_object *o,
			const struct edge_sink *to)
{
	const uint8_t *p = image_at(w->im, o->uaddr, (uint64_t)w->c->fn_upvals.off);
	uint64_t n;

	if (!p)
		return;
	n = walk_get(p, w->c->fn_nup);
	give(to, walk_get(p, w->c->fn_env), EDGE_ENV, 0);
	if (o->is_c) {
		each_tv(w, o->uaddr + (uint64_t)w->c->fn_cupvals.off, n, EDGE_UPVALUE, 0, to);
		return;
	}
	give(to, walk_get(p, w->l->fn_pc) - (uint64_t)w->l->size_proto.off, EDGE_PROTO, 0);
	p = image_at(w->im, o->uaddr + (uint64_t)w->c->fn_upvals.off, w->ref * n);
	for (uint64_t i = 0; p && i < n; i++)
		give(to, walk_ref(w, p + w->ref * i), EDGE_UPVALUE, i);
}

/* Where the running function's registers end: top is kept up to date only around calls of C. */
static uint64_t stack_end(const struct walk *w, const uint8_t *L)
{
	uint64_t top = walk_get(L, w->l->L_top), base = walk_get(L, w->l->L_base), fn, end;
	const uint8_t *p = image_at(w->im, base - (w->ref == 8 ? 16 : 8), 8);

	if (!p)
		return top;
	fn = w->ref == 8 ? walk_u64(p) & ((1ull << 47) - 1) : walk_u32(p);
	p = image_at(w->im, fn, (uint64_t)w->c->fn_upvals.off);
	if (!p || p[w->tag_at] != LJ_FUNCTION || walk_get(p, w->l->fn_ffid))
		return top;
	p = image_at(w->im, walk_get(p, w->l->fn_pc) - (uint64_t)w->l->size_proto.off,
		     (uint64_t)w->l->size_proto.off);
	end = p ? base + 8 * walk_get(p, w->c->P_framesize) : 0;
	return end > top ? end : top;
}

static void of_thread(const struct walk *w, const struct census_object *o, const struct edge_sink *to)
{
	const uint8_t *p = image_at(w->im, o->uaddr, (uint64_t)w->l->size_L.off);
	uint64_t stack, end;

	if (!p)
		return;
	give(to, walk_get(p, w->c->L_env), EDGE_ENV, 0);
	stack = walk_get(p, w->l->L_stack);
	end = stack_end(w, p);
	if (end <= stack || end - stack > (64u << 20))
		return;
	each_tv(w, stack, (end - stack) / 8, EDGE_SLOT, 0, to);
	p = image_at(w->im, stack, end - stack);
	/* GC32: a frame's slot holds the function beside the link. */
	for (uint64_t i = 0; p && w->ref == 4 && i < (end - stack) / 8; i++) {
		uint32_t n = walk_number(w, walk_u32(p + 8 * i));

		if (n != IMAGE_NONE && w->obj[n].kind == CENSUS_FUNCTION)
			give(to, w->obj[n].uaddr, EDGE_SLOT, i);
	}
}

static void trace_number(const struct walk *w, uint64_t number, const struct edge_sink *to)
{
	const uint8_t *j, *p;

	if (!number || !layout_has(w->l->GG_J) || number > MAX_TRACE)
		return;
	j = image_at(w->im, w->L + (uint64_t)w->l->GG_J.off,
		     (uint64_t)(w->l->size_GG.off - w->l->GG_J.off));
	if (!j || number >= walk_get(j, w->l->J_sizetrace))
		return;
	p = image_at(w->im, walk_get(j, w->l->J_trace) + w->ref * number, w->ref);
	give(to, p ? walk_ref(w, p) : 0, EDGE_TRACE, number);
}

static void of_proto(const struct walk *w, const struct census_object *o, const struct edge_sink *to)
{
	const uint8_t *p = image_at(w->im, o->uaddr, (uint64_t)w->l->size_proto.off);
	uint64_t n, k;

	if (!p)
		return;
	give(to, walk_get(p, w->l->P_source), EDGE_NAME, 0);
	trace_number(w, walk_get(p, w->c->P_trace), to);
	n = walk_get(p, w->c->P_sizekgc);
	k = walk_get(p, w->c->P_kgc);
	p = n < (1u << 24) ? image_at(w->im, k - w->ref * n, w->ref * n) : NULL;
	for (uint64_t i = 0; p && i < n; i++)
		give(to, walk_ref(w, p + w->ref * i), EDGE_CONSTANT, n - 1 - i);
}

/* Constants of a trace; which of them are objects is told by what they point at. */
static void of_trace(const struct walk *w, const struct census_object *o, const struct edge_sink *to)
{
	const uint8_t *p = image_at(w->im, o->uaddr, (uint64_t)w->c->size_trace.off);
	uint64_t nk, n, ir;

	if (!p)
		return;
	give(to, walk_get(p, w->l->tr_startpt), EDGE_PROTO, 0);
	trace_number(w, walk_get(p, w->c->tr_link), to);
	trace_number(w, walk_get(p, w->c->tr_nextroot), to);
	trace_number(w, walk_get(p, w->c->tr_nextside), to);
	nk = walk_get(p, w->c->tr_nk);
	ir = walk_get(p, w->l->tr_ir);
	n = nk < REF_BIAS ? REF_BIAS - nk : 0;
	p = n ? image_at(w->im, ir + 8 * nk, 8 * n) : NULL;
	for (uint64_t i = 0; p && i < n; i++) {
		uint64_t at = w->ref == 8 ? walk_u64(p + 8 * i) : walk_u32(p + 8 * i);

		if (walk_number(w, at) != IMAGE_NONE)
			give(to, at, EDGE_CONSTANT, i);
	}
}

static void of_userdata(const struct walk *w, const struct census_object *o,
			const struct edge_sink *to)
{
	const uint8_t *p = image_at(w->im, o->uaddr, (uint64_t)w->c->size_udata.off);
	const uint8_t *buf;

	if (!p)
		return;
	give(to, walk_get(p, w->c->U_meta), EDGE_METATABLE, 0);
	give(to, walk_get(p, w->c->U_env), EDGE_ENV, 0);
	if (walk_get(p, w->c->U_udtype) != UDTYPE_BUFFER)
		return;
	/* What it copies on write, and its dictionaries. */
	buf = image_at(w->im, o->uaddr + (uint64_t)w->c->size_udata.off, 8 * w->ref);
	for (unsigned int i = 4; buf && i < 8; i++) {
		uint64_t at = walk_ref(w, buf + w->ref * i);

		if (i != 5 && walk_number(w, at) != IMAGE_NONE)
			give(to, at, EDGE_PART, i);
	}
}

void edges_luajit(struct edges *e, const struct census_object *o, const struct edge_sink *to)
{
	const struct walk *w = e->w;
	const uint8_t *p;

	switch (o->kind) {
	case CENSUS_TABLE:
		of_table(e, o->uaddr, to);
		break;
	case CENSUS_FUNCTION:
		of_function(w, o, to);
		break;
	case CENSUS_USERDATA:
		of_userdata(w, o, to);
		break;
	case CENSUS_THREAD:
		of_thread(w, o, to);
		break;
	case CENSUS_PROTO:
		of_proto(w, o, to);
		break;
	case CENSUS_TRACE:
		of_trace(w, o, to);
		break;
	case CENSUS_UPVALUE:
		p = image_at(w->im, o->uaddr, (uint64_t)w->c->size_upval.off);
		if (p)
			each_tv(w, walk_get(p, w->c->UV_v), 1, EDGE_VALUE, 0, to);
		break;
	default:
		break;
	}
}

static void fixed_strings(const struct walk *w, const struct edge_sink *to)
{
	for (uint32_t i = 0; i < w->n; i++) {
		const uint8_t *p = w->obj[i].kind == CENSUS_STRING
			? image_at(w->im, w->obj[i].uaddr, 16) : NULL;

		if (p && walk_get(p, w->c->marked) & FIXED)
			give(to, w->obj[i].uaddr, EDGE_FIXED, 0);
	}
}

void edges_luajit_roots(struct edges *e, const struct edge_sink *to)
{
	const struct walk *w = e->w;
	const uint8_t *L = image_at(w->im, w->L, (uint64_t)w->l->size_L.off), *p;
	uint64_t last = walk_get(w->g, w->c->G_mmudata), o = last;

	if (L)
		give(to, walk_get(L, w->c->L_env), EDGE_GLOBALS, 0);
	each_tv(w, w->G + (uint64_t)w->l->G_registry.off, 1, EDGE_REGISTRY, 0, to);
	for (unsigned int i = 0; i < w->c->G_gcroot.size / w->ref; i++)
		give(to, walk_ref(w, w->g + w->c->G_gcroot.off + w->ref * i), EDGE_FIXED, i);
	give(to, w->L, EDGE_MAIN, 0);
	while (o) {
		give(to, o, EDGE_FINALIZE, 0);
		p = image_at(w->im, o, 8);
		o = p ? walk_ref(w, p) : 0;
		if (o == last)
			break;
	}
	fixed_strings(w, to);
}

uint64_t edges_luajit_field(const struct walk *w, uint64_t table, uint64_t name)
{
	struct lj_table t;
	const uint8_t *p;

	if (!lj_table(w, table, &t) || !t.nodes || t.nodes > (1u << 20))
		return 0;
	p = image_at(w->im, t.node, t.nodes * (uint64_t)w->l->size_node.off);
	for (uint64_t i = 0; p && i < t.nodes; i++, p += w->l->size_node.off)
		if (is_string(w, p + w->c->node_key.off) &&
		    lj_tv_object(w, p + w->c->node_key.off) == name)
			return lj_tv_object(w, p + w->c->node_val.off);
	return 0;
}

bool edges_luajit_text(const struct walk *w, uint64_t s, const uint8_t **text, uint64_t *len)
{
	const uint8_t *p = image_at(w->im, s, (uint64_t)w->l->size_str.off);

	if (!p || p[w->tag_at] != LJ_STRING)
		return false;
	*len = walk_get(p, w->l->S_len);
	*text = image_at(w->im, s + (uint64_t)w->l->size_str.off, *len);
	return *text != NULL;
}

static struct edge_value value_of(const struct walk *w, const uint8_t *tv)
{
	uint64_t v = walk_u64(tv);
	uint32_t itype = w->ref == 8 ? (uint32_t)((int64_t)v >> 47) : (uint32_t)(v >> 32);
	struct edge_value r = { .what = EDGE_VALUE_OTHER, .object = lj_tv_object(w, tv) };

	if (r.object) {
		r.what = EDGE_VALUE_OBJECT;
	} else if (w->ref == 8 ? itype < ~13u : itype < 0xfffeffffu) {
		r.what = EDGE_VALUE_NUMBER;
		memcpy(&r.number, &v, sizeof(r.number));
	}
	return r;
}

struct edge_value edges_luajit_value(const struct walk *w, uint64_t table, const char *name)
{
	const uint8_t *p, *text;
	struct lj_table t;
	uint64_t len;

	if (!lj_table(w, table, &t) || !t.nodes || t.nodes > (1u << 20))
		return (struct edge_value){ 0 };
	p = image_at(w->im, t.node, t.nodes * (uint64_t)w->l->size_node.off);
	for (uint64_t i = 0; p && i < t.nodes; i++, p += w->l->size_node.off)
		if (is_string(w, p + w->c->node_key.off) && !lj_tv_is_nil(w, p + w->c->node_val.off) &&
		    edges_luajit_text(w, lj_tv_object(w, p + w->c->node_key.off), &text, &len) &&
		    len == strlen(name) && !memcmp(text, name, len))
			return value_of(w, p + w->c->node_val.off);
	return (struct edge_value){ 0 };
}
