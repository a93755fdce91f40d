/* SPDX-License-Identifier: MIT */
/* What objects of PUC Lua 5.1 to 5.5 hold (lgc.c: traverse… of each release). */
#include "edges.h"

#include <string.h>

#include "puc.h"

#define COLLECTABLE 0x40
#define FIXED 0x20       /* 5.1, 5.2: mark of strings that the VM itself keeps */
#define RIDX_GLOBALS 2
#define USER_TAG_53 10   /* Udata.ttuv_; the value lies behind the length */
#define MAX_UPVALUES 255

enum { TYPE_BOOL = 1, TYPE_NUMBER = 3, TYPE_STRING = 4 };

static uint64_t tagged(const struct walk *w, uint64_t value, uint32_t tag)
{
	if (w->l->version == 501)
		return tag >= 4 && tag <= 8 ? value : 0;
	return tag & COLLECTABLE ? value : 0;
}

/* Tags are an int up to 5.3, a byte since. */
static uint32_t tag_of(const struct walk *w, const uint8_t *tv)
{
	return w->l->version >= 504 ? tv[8] : walk_u32(tv + 8);
}

static uint64_t tv_object(const struct walk *w, const uint8_t *tv)
{
	return tagged(w, walk_u64(tv), tag_of(w, tv));
}

/* n TValues from an address. */
static void each_tv(const struct walk *w, uint64_t at, uint64_t n, enum edge edge, uint64_t first,
		    const struct edge_sink *to)
{
	const uint8_t *p = n ? image_at(w->im, at, 16 * n) : NULL;

	for (uint64_t i = 0; p && i < n; i++) {
		uint64_t o = tv_object(w, p + 16 * i);

		if (o)
			to->edge(to->ctx, o, edge, first + i);
	}
}

static void each_ref(const struct walk *w, uint64_t at, uint64_t n, unsigned int step, enum edge edge,
		     const struct edge_sink *to)
{
	const uint8_t *p = n ? image_at(w->im, at, step * n) : NULL;

	for (uint64_t i = 0; p && i < n; i++) {
		uint64_t o = walk_u64(p + step * i);

		if (o)
			to->edge(to->ctx, o, edge, i);
	}
}

struct node {
	uint64_t value, key;
	uint32_t value_tag, key_tag;
};

static void read_node(const struct walk *w, const uint8_t *p, struct node *n)
{
	n->value = walk_u64(p);
	n->key = walk_u64(p + 16);
	if (w->l->version >= 504) {
		n->value_tag = p[8];
		n->key_tag = p[9];
	} else {
		n->value_tag = walk_u32(p + 8);
		n->key_tag = walk_u32(p + 24);
	}
}

static void set_key(const struct walk *w, const struct node *n, struct edge_entry *en)
{
	unsigned int variant = n->key_tag & 0x3f;
	bool is_integer = (w->l->version == 503 && variant == 19) ||
			  (w->l->version >= 504 && variant == TYPE_NUMBER);

	en->key_object = tagged(w, n->key, n->key_tag);
	en->key_is_string = (n->key_tag & 0xf) == TYPE_STRING;
	en->key = n->key;
	if (en->key_is_string)
		en->edge = EDGE_FIELD;
	else if (is_integer)
		en->edge = EDGE_INDEX;
	else if ((n->key_tag & 0xf) == TYPE_NUMBER)
		edges_number_key(en, n->key);
	else if ((n->key_tag & 0xf) == TYPE_BOOL)
		en->edge = EDGE_BOOL, en->key = w->l->version >= 504 ? variant >> 4 : n->key & 1;
	else
		en->edge = EDGE_OBJECT;
}

static void each_node(const struct walk *w, const struct puc_table *t, unsigned int weak,
		      const struct edge_sink *to)
{
	uint64_t n = t->no_nodes ? 0 : 1ull << t->log_nodes, size = (uint64_t)w->l->size_node.off;
	const uint8_t *p = n ? image_at(w->im, t->node, n * size) : NULL;

	for (uint64_t i = 0; p && i < n; i++, p += size) {
		struct edge_entry en = { 0 };
		struct node nd;

		read_node(w, p, &nd);
		if (!(nd.value_tag & 0xf))
			continue;
		set_key(w, &nd, &en);
		en.value_object = tagged(w, nd.value, nd.value_tag);
		en.value_is_string = (nd.value_tag & 0xf) == TYPE_STRING;
		if (en.value_object || en.key_object)
			edges_entry(to, weak, w->l->version >= 502, &en);
	}
}

/* 5.5: values lie before the array's address, downwards; a word and then the tags behind it. */
static void each_slot_55(const struct walk *w, const struct puc_table *t, unsigned int weak,
			 const struct edge_sink *to)
{
	uint64_t n = t->array_n;
	const uint8_t *p = n ? image_at(w->im, t->array - 8 * n, 9 * n + 4) : NULL;

	for (uint64_t i = 0; p && i < n; i++) {
		uint32_t tag = p[8 * n + 4 + i];
		struct edge_entry en = {
			.value_object = tagged(w, walk_u64(p + 8 * (n - 1 - i)), tag),
			.value_is_string = (tag & 0xf) == TYPE_STRING,
			.edge = EDGE_INDEX,
			.key = i + 1,
		};

		if (en.value_object)
			edges_entry(to, weak, true, &en);
	}
}

static void each_slot(const struct walk *w, const struct puc_table *t, unsigned int weak,
		      const struct edge_sink *to)
{
	const uint8_t *p = t->array_n ? image_at(w->im, t->array, 16 * t->array_n) : NULL;

	for (uint64_t i = 0; p && i < t->array_n; i++) {
		struct edge_entry en = {
			.value_object = tv_object(w, p + 16 * i),
			.edge = EDGE_INDEX,
			.key = i + 1,
		};

		en.value_is_string = (tag_of(w, p + 16 * i) & 0xf) == TYPE_STRING;
		if (en.value_object)
			edges_entry(to, weak, true, &en);
	}
}

static void of_table(struct edges *e, uint64_t at, const struct edge_sink *to)
{
	struct puc_table t;
	unsigned int weak;

	if (!puc_table(e->w, at, &t))
		return;
	if (t.meta)
		to->edge(to->ctx, t.meta, EDGE_METATABLE, 0);
	weak = edges_weak(e, t.meta);
	if (e->w->l->version >= 505)
		each_slot_55(e->w, &t, weak, to);
	else
		each_slot(e->w, &t, weak, to);
	each_node(e->w, &t, weak, to);
}

static void of_function(const struct walk *w, const struct census_object *o,
			const struct edge_sink *to)
{
	const uint8_t *p = image_at(w->im, o->uaddr, 40);
	uint64_t n, env;

	if (!p)
		return;
	n = walk_get(p, w->c->fn_nup);
	env = layout_has(w->c->fn_env) ? walk_get(p, w->c->fn_env) : 0;
	if (env)
		to->edge(to->ctx, env, EDGE_ENV, 0);
	if (o->is_c) {
		each_tv(w, o->uaddr + (uint64_t)w->c->fn_cupvals.off, n, EDGE_UPVALUE, 0, to);
		return;
	}
	to->edge(to->ctx, walk_get(p, w->l->LCL_p), EDGE_PROTO, 0);
	each_ref(w, o->uaddr + (uint64_t)w->c->fn_upvals.off, n, 8, EDGE_UPVALUE, to);
}

static void of_userdata(const struct walk *w, const struct census_object *o,
			const struct edge_sink *to)
{
	const uint8_t *p = image_at(w->im, o->uaddr, (uint64_t)w->c->size_udata.off);
	uint64_t meta, n, user;

	/* 5.4: one without user values is shorter than the struct. */
	if (!p)
		p = image_at(w->im, o->uaddr, 32);
	if (!p)
		return;
	meta = walk_get(p, w->c->U_meta);
	if (meta)
		to->edge(to->ctx, meta, EDGE_METATABLE, 0);
	if (layout_has(w->c->U_env)) {
		uint64_t env = walk_get(p, w->c->U_env);

		if (env)
			to->edge(to->ctx, env, EDGE_ENV, 0);
	} else if (layout_has(w->c->U_nuvalue)) {
		puc_userdata_head(w, p, &n);
		each_tv(w, o->uaddr + (uint64_t)w->c->U_uv.off, n, EDGE_USER, 1, to);
	} else if (p[USER_TAG_53] & COLLECTABLE) {
		user = walk_u64(p + w->c->U_len.off + 8);
		to->edge(to->ctx, user, EDGE_USER, 1);
	}
}

static void of_thread(const struct walk *w, const struct census_object *o, const struct edge_sink *to)
{
	const uint8_t *p = image_at(w->im, o->uaddr, (uint64_t)w->l->size_L.off);
	uint64_t stack, top;

	if (!p)
		return;
	stack = walk_get(p, w->l->L_stack);
	top = walk_get(p, w->l->L_top);
	if (w->l->version == 501)
		each_tv(w, o->uaddr + (uint64_t)w->c->L_env.off, 1, EDGE_ENV, 0, to);
	if (stack && top > stack)
		each_tv(w, stack, (top - stack) / 16, EDGE_SLOT, 0, to);
}

static void of_proto(const struct walk *w, const struct census_object *o, const struct edge_sink *to)
{
	const uint8_t *p = image_at(w->im, o->uaddr, (uint64_t)w->l->size_proto.off);
	uint64_t source;

	if (!p)
		return;
	source = walk_get(p, w->l->P_source);
	if (source)
		to->edge(to->ctx, source, EDGE_NAME, 0);
	each_tv(w, walk_get(p, w->c->P_k), walk_get(p, w->c->P_sizek), EDGE_CONSTANT, 0, to);
	each_ref(w, walk_get(p, w->c->P_p), walk_get(p, w->c->P_sizep), 8, EDGE_INNER, to);
	each_ref(w, walk_get(p, w->c->P_upvalues), walk_get(p, w->c->P_sizeupvalues),
		 w->l->version == 501 ? 8 : 16, EDGE_NAME, to);
	each_ref(w, walk_get(p, w->c->P_locvars), walk_get(p, w->c->P_sizelocvars), 16, EDGE_NAME, to);
}

void edges_puc(struct edges *e, const struct census_object *o, const struct edge_sink *to)
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
	case CENSUS_UPVALUE:
		p = image_at(w->im, o->uaddr, (uint64_t)w->c->size_upval.off);
		if (p)
			each_tv(w, walk_get(p, w->c->UV_v), 1, EDGE_VALUE, 0, to);
		break;
	default:
		break;
	}
}

struct globals {
	const struct edge_sink *to;
};

static void only_globals(void *ctx, uint64_t to, enum edge edge, uint64_t key)
{
	const struct globals *g = ctx;

	if (edge == EDGE_INDEX && key == RIDX_GLOBALS)
		g->to->edge(g->to->ctx, to, EDGE_GLOBALS, 0);
}

static void list_roots(const struct walk *w, struct lmt_cell head, enum edge edge, bool ring,
		       const struct edge_sink *to)
{
	uint64_t first = layout_has(head) ? walk_get(w->g, head) : 0, o = first;

	/* Walked before and found sound. */
	while (o) {
		const uint8_t *p = image_at(w->im, o, 8);

		to->edge(to->ctx, o, edge, 0);
		o = p ? walk_u64(p) : 0;
		if (ring && o == first)
			break;
	}
}

static void fixed_strings(const struct walk *w, const struct edge_sink *to)
{
	if (w->l->version > 502)
		return;
	for (uint32_t i = 0; i < w->n; i++) {
		const uint8_t *p = w->obj[i].kind == CENSUS_STRING
			? image_at(w->im, w->obj[i].uaddr, 16) : NULL;

		if (p && p[9] & FIXED)
			to->edge(to->ctx, w->obj[i].uaddr, EDGE_FIXED, 0);
	}
}

void edges_puc_roots(struct edges *e, const struct edge_sink *to)
{
	const struct walk *w = e->w;
	uint64_t registry = walk_u64(w->g + w->l->G_registry.off);
	struct globals g = { .to = to };
	const struct edge_sink s = { .ctx = &g, .edge = only_globals };

	if (w->l->version == 501)
		each_tv(w, w->L + (uint64_t)w->c->L_env.off, 1, EDGE_GLOBALS, 0, to);
	else
		of_table(e, registry, &s);
	to->edge(to->ctx, registry, EDGE_REGISTRY, 0);
	for (unsigned int i = 0; i < w->c->G_mt.size / 8; i++) {
		uint64_t meta = walk_u64(w->g + w->c->G_mt.off + 8 * i);

		if (meta)
			to->edge(to->ctx, meta, EDGE_TYPE_META, i);
	}
	to->edge(to->ctx, w->L, EDGE_MAIN, 0);
	list_roots(w, w->c->G_tobefnz, EDGE_FINALIZE, false, to);
	list_roots(w, w->c->G_tmudata, EDGE_FINALIZE, true, to);
	list_roots(w, w->c->G_fixedgc, EDGE_FIXED, false, to);
	fixed_strings(w, to);
	each_ref(w, w->G + (uint64_t)w->l->G_tmname.off, w->l->G_tmname.size / 8, 8, EDGE_FIXED, to);
}

uint64_t edges_puc_field(const struct walk *w, uint64_t table, uint64_t name)
{
	uint64_t size = (uint64_t)w->l->size_node.off, n;
	struct puc_table t;
	const uint8_t *p;

	if (!puc_table(w, table, &t) || t.no_nodes || t.log_nodes > 20)
		return 0;
	n = 1ull << t.log_nodes;
	p = image_at(w->im, t.node, n * size);
	for (uint64_t i = 0; p && i < n; i++, p += size) {
		struct node nd;

		read_node(w, p, &nd);
		if (nd.value_tag & 0xf && nd.key == name && (nd.key_tag & 0xf) == TYPE_STRING)
			return tagged(w, nd.value, nd.value_tag);
	}
	return 0;
}

bool edges_puc_text(const struct walk *w, uint64_t s, const uint8_t **text, uint64_t *len)
{
	const uint8_t *p = image_at(w->im, s, 16);
	struct puc_text t;

	if (!p || puc_kind(w, p[8]) != CENSUS_STRING || !puc_text(w, s, &t))
		return false;
	*text = image_at(w->im, t.text, t.len);
	*len = t.len;
	return *text != NULL;
}

static struct edge_value value_of(const struct walk *w, const struct node *n)
{
	struct edge_value v = { .what = EDGE_VALUE_OTHER, .object = tagged(w, n->value, n->value_tag) };
	unsigned int variant = n->value_tag & 0x3f;

	if (v.object) {
		v.what = EDGE_VALUE_OBJECT;
	} else if ((n->value_tag & 0xf) == TYPE_NUMBER) {
		bool is_integer = (w->l->version == 503 && variant == 19) ||
				  (w->l->version >= 504 && variant == TYPE_NUMBER);

		v.what = EDGE_VALUE_NUMBER;
		memcpy(&v.number, &n->value, sizeof(v.number));
		if (is_integer)
			v.number = (double)(int64_t)n->value;
	}
	return v;
}

struct edge_value edges_puc_value(const struct walk *w, uint64_t table, const char *name)
{
	uint64_t size = (uint64_t)w->l->size_node.off, n, len;
	const uint8_t *p, *text;
	struct puc_table t;

	if (!puc_table(w, table, &t) || t.no_nodes || t.log_nodes > 20)
		return (struct edge_value){ 0 };
	n = 1ull << t.log_nodes;
	p = image_at(w->im, t.node, n * size);
	for (uint64_t i = 0; p && i < n; i++, p += size) {
		struct node nd;

		read_node(w, p, &nd);
		if (nd.value_tag & 0xf && (nd.key_tag & 0xf) == TYPE_STRING &&
		    edges_puc_text(w, nd.key, &text, &len) && len == strlen(name) &&
		    !memcmp(text, name, len))
			return value_of(w, &nd);
	}
	return (struct edge_value){ 0 };
}
