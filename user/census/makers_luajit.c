/* SPDX-License-Identifier: MIT */
/*
 * Table constructors in the bytecode of LuaJIT (lj_parse.c: expr_table; lj_bc.h). One with constant
 * keys has a table among the prototype's constants, which is duplicated.
 */
#include "makers.h"

#include "luajit.h"

#define MAX_CODE (1u << 20)
#define MAX_AHEAD 400 /* bytecodes looked at behind the one that makes a table */

struct opcodes {
	int funcf; /* BC_FUNCF tells the numbering */
	uint8_t tnew, tdup, gset, uset_first, uclo, tset_first, tsets, tset_last;
	uint8_t call_first, call_last, ret_first, jmp;
};

static const struct opcodes numberings[] = {
	{ 85, 50, 51, 53, 44, 48, 57, 58, 60, 61, 68, 69, 84 }, /* v2.0 */
	{ 89, 52, 53, 55, 46, 50, 60, 61, 64, 65, 72, 73, 88 }, /* v2.1 */
	{ 96, 52, 53, 55, 46, 50, 60, 61, 64, 65, 72, 73, 88 }, /* v2.1 from July 2026 on */
};

struct code {
	const struct walk *w;
	const struct opcodes *ops;
	const uint32_t *ins;
	uint64_t n, k, n_k;
};

static bool open_code(struct code *c, const struct walk *w, uint64_t proto)
{
	const uint8_t *p = image_at(w->im, proto, (uint64_t)w->l->size_proto.off);

	if (!p)
		return false;
	*c = (struct code){ .w = w, .n = walk_get(p, w->l->P_sizecode), .k = walk_get(p, w->c->P_kgc),
			    .n_k = walk_get(p, w->c->P_sizekgc) };
	for (size_t i = 0; i < sizeof(numberings) / sizeof(numberings[0]); i++)
		if (w->l->K_BC_FUNCF.off == numberings[i].funcf)
			c->ops = &numberings[i];
	if (!c->ops || c->n > MAX_CODE)
		return false;
	c->ins = (const uint32_t *)(const void *)image_at(w->im, proto + (uint64_t)w->l->size_proto.off,
							  4 * c->n);
	return c->ins != NULL;
}

static unsigned int arg_a(uint32_t ins)
{
	return ins >> 8 & 0xff;
}

/* The object among the constants, if it is of the kind, or 0. */
static uint64_t constant(const struct code *c, uint64_t i, enum census_kind kind)
{
	const uint8_t *p = i < c->n_k ? image_at(c->w->im, c->k - c->w->ref * (i + 1), c->w->ref) : NULL;
	uint64_t o = p ? walk_ref(c->w, p) : 0;
	uint32_t n = o ? walk_number(c->w, o) : IMAGE_NONE;

	return n != IMAGE_NONE && c->w->obj[n].kind == kind ? o : 0;
}

static bool ends(const struct code *c, uint32_t ins, unsigned int slot)
{
	const struct opcodes *o = c->ops;
	unsigned int op = ins & 0xff;

	if (op >= o->call_first && op <= o->call_last)
		return arg_a(ins) <= slot;
	if (op >= o->ret_first)
		return op != o->jmp;
	if (op == o->gset || (op >= o->uset_first && op <= o->uclo) ||
	    (op >= o->tset_first && op <= o->tset_last))
		return false;
	return arg_a(ins) == slot;
}

static void look_ahead(const struct code *c, uint64_t at, struct making *mk)
{
	for (uint64_t i = at + 1; i < c->n && i - at < MAX_AHEAD && !ends(c, c->ins[i], mk->reg); i++) {
		uint32_t ins = c->ins[i];
		uint64_t key = (ins & 0xff) == c->ops->tsets && ins >> 24 == mk->reg
				       ? constant(c, ins >> 16 & 0xff, CENSUS_STRING) : 0;

		if (key)
			making_add(mk, key);
	}
}

/* Calls fn for each string that is a key, also where its value is nil. */
static bool each_key(const struct walk *w, uint64_t table, struct lj_table *t, void *ctx,
		     void (*fn)(void *ctx, uint64_t string, bool is_nil))
{
	uint64_t size = (uint64_t)w->l->size_node.off;
	const uint8_t *p;

	if (!lj_table(w, table, t))
		return false;
	p = t->nodes ? image_at(w->im, t->node, t->nodes * size) : NULL;
	for (uint64_t i = 0; p && i < t->nodes; i++, p += size) {
		const uint8_t *key = p + w->c->node_key.off;
		uint64_t o = lj_tv_object(w, key);
		uint32_t n = o ? walk_number(w, o) : IMAGE_NONE;

		if (n != IMAGE_NONE && w->obj[n].kind == CENSUS_STRING)
			fn(ctx, o, lj_tv_is_nil(w, p + w->c->node_val.off));
	}
	return true;
}

static void key_of_template(void *ctx, uint64_t string, bool is_nil)
{
	(void)is_nil; /* the value is none that the compiler knew */
	making_add(ctx, string);
}

static void key_of_table(void *ctx, uint64_t string, bool is_nil)
{
	table_shape_add(ctx, string, is_nil);
}

void makers_luajit(struct makers *m, uint64_t proto)
{
	struct lj_table t;
	struct code c;

	if (!open_code(&c, m->w, proto))
		return;
	for (uint64_t i = 1; i < c.n; i++) { /* the first is the function's header */
		unsigned int op = c.ins[i] & 0xff, d = c.ins[i] >> 16;
		struct making mk = { .proto = proto, .reg = arg_a(c.ins[i]),
				     .pc = proto + (uint64_t)m->w->l->size_proto.off + 4 * (i + 1) };

		if (op == c.ops->tnew) {
			mk.array = (d & 0x7ff) == 0x7ff ? 0x801 : d & 0x7ff;
		} else if (op == c.ops->tdup) {
			if (!each_key(m->w, constant(&c, d, CENSUS_TABLE), &t, &mk, key_of_template))
				continue;
			mk.array = t.array_n;
			mk.at_least = mk.keys;
		} else {
			continue;
		}
		look_ahead(&c, i, &mk);
		makers_add(m, &mk);
	}
}

bool table_shape_luajit(const struct walk *w, uint64_t table, struct table_shape *ret)
{
	struct lj_table t;

	if (!each_key(w, table, &t, ret, key_of_table))
		return false;
	ret->array = t.array_n;
	ret->may_have_grown = t.array_n < 2 || !((t.array_n - 1) & (t.array_n - 2));
	return true;
}
