/* SPDX-License-Identifier: MIT */
/* Table constructors in the code of PUC Lua 5.1 to 5.5 (lparser.c: constructor; lopcodes.h). */
#include "makers.h"

#include "puc.h"

#define MAX_CODE (1u << 20)
#define MAX_AHEAD 400     /* instructions looked at behind the one that makes a table */
#define SHORT_STRING 4
#define CONSTANT 0x100    /* an operand is one, up to 5.3 */

/* Numbers of opcodes by version; those from…to write no register A. */
struct opcodes {
	uint32_t version; /* from this on */
	uint8_t newtable, setfield; /* up to 5.3: settable */
	uint8_t silent[6], n_silent; /* A is read or is no register */
	uint8_t call, tailcall, ret_first, ret_last, loop_first, loop_last;
};

static const struct opcodes numberings[] = {
	/* silent: setglobal setupval settable setlist jmp */
	{ 501, 10, 9, { 7, 8, 9, 34, 22 }, 5, 28, 29, 30, 30, 31, 33 },
	/* settabup setupval settable setlist jmp extraarg */
	{ 502, 11, 10, { 8, 9, 10, 36, 23, 39 }, 6, 29, 30, 31, 31, 32, 35 },
	{ 503, 11, 10, { 8, 9, 10, 43, 30, 46 }, 6, 36, 37, 38, 38, 39, 42 },
	{ 504, 19, 18, { 10, 15, 78, 56, 82 }, 5, 68, 69, 70, 72, 73, 77 },
	{ 505, 19, 18, { 10, 15, 78, 56, 84 }, 5, 68, 69, 70, 72, 73, 77 },
};

struct code {
	const struct walk *w;
	const struct opcodes *ops;
	const uint32_t *ins;
	const uint8_t *k;
	uint64_t n, n_k;
	bool is_new; /* 5.4 and later: other fields */
};

static bool open_code(struct code *c, const struct walk *w, uint64_t proto)
{
	const uint8_t *p = image_at(w->im, proto, (uint64_t)w->l->size_proto.off);

	if (!p || !layout_has(w->l->P_code))
		return false;
	*c = (struct code){ .w = w, .n = walk_get(p, w->l->P_sizecode), .n_k = walk_get(p, w->c->P_sizek),
			    .is_new = w->l->version >= 504 };
	for (size_t i = 0; i < sizeof(numberings) / sizeof(numberings[0]); i++)
		if (w->l->version >= numberings[i].version)
			c->ops = &numberings[i];
	if (!c->ops || c->n > MAX_CODE || c->n_k > MAX_CODE)
		return false;
	c->ins = (const uint32_t *)(const void *)image_at(w->im, walk_get(p, w->l->P_code), 4 * c->n);
	c->k = image_at(w->im, walk_get(p, w->c->P_k), 16 * c->n_k);
	c->n_k = c->k ? c->n_k : 0;
	return c->ins != NULL;
}

static unsigned int op_of(const struct code *c, uint64_t i)
{
	return c->ins[i] & (c->is_new ? 0x7f : 0x3f);
}

static unsigned int arg_a(const struct code *c, uint64_t i)
{
	return c->ins[i] >> (c->is_new ? 7 : 6) & 0xff;
}

/* A short string among the constants, or 0: only those are the same object wherever they occur. */
static uint64_t constant(const struct code *c, unsigned int i)
{
	const uint8_t *k = i < c->n_k ? c->k + 16 * i : NULL;
	uint64_t s = k && (k[8] & 0x3f) == SHORT_STRING ? walk_u64(k) : 0;

	return s && walk_number(c->w, s) != IMAGE_NONE ? s : 0;
}

/* The least number of keys whose hint is this: "floating point byte" up to 5.3, a power since. */
static unsigned int least_keys(const struct code *c, unsigned int hint)
{
	if (c->is_new)
		return hint < 2 ? hint : hint > 16 ? MAKERS_KEYS : (1u << (hint - 2)) + 1;
	if (hint <= 8)
		return hint;
	hint--;
	return hint >> 3 > 10 ? MAKERS_KEYS : ((hint & 7) + 8) * (1u << ((hint >> 3) - 1)) + 1;
}

static uint64_t array_hint(const struct code *c, uint64_t i)
{
	uint32_t ins = c->ins[i];
	unsigned int fb = ins >> 23;

	if (c->w->l->version >= 505)
		return (ins >> 22) + (ins >> 15 & 1 ? (uint64_t)(c->ins[i + 1] >> 7) << 10 : 0);
	if (c->is_new)
		return (ins >> 24) + (ins >> 15 & 1 ? (uint64_t)(c->ins[i + 1] >> 7) << 8 : 0);
	return fb < 8 ? fb : fb >> 3 > 27 ? 0 : (uint64_t)((fb & 7) + 8) << ((fb >> 3) - 1);
}

static unsigned int hash_hint(const struct code *c, uint64_t i)
{
	uint32_t ins = c->ins[i];

	if (c->w->l->version >= 505)
		return ins >> 16 & 0x3f;
	return c->is_new ? ins >> 16 & 0xff : ins >> 14 & 0x1ff;
}

static bool is_silent(const struct code *c, unsigned int op)
{
	for (unsigned int i = 0; i < c->ops->n_silent; i++)
		if (op == c->ops->silent[i])
			return true;
	return c->is_new && op >= 15 && op <= 18; /* 5.4: settabup settable seti setfield */
}

/* Is the table no longer in its register, or the way on not straight? */
static bool ends(const struct code *c, uint64_t i, unsigned int reg)
{
	unsigned int op = op_of(c, i), a = arg_a(c, i);

	if ((op >= c->ops->ret_first && op <= c->ops->ret_last) ||
	    (op >= c->ops->loop_first && op <= c->ops->loop_last))
		return true;
	if (op == c->ops->call || op == c->ops->tailcall)
		return a <= reg;
	return a == reg && !is_silent(c, op);
}

static uint64_t key_set(const struct code *c, uint64_t i, unsigned int reg)
{
	unsigned int b = c->is_new ? c->ins[i] >> 16 & 0xff : c->ins[i] >> 23;

	if (op_of(c, i) != c->ops->setfield || arg_a(c, i) != reg)
		return 0;
	if (c->is_new)
		return constant(c, b);
	return b & CONSTANT ? constant(c, b & 0xff) : 0;
}

static void look_ahead(const struct code *c, uint64_t at, struct making *mk)
{
	for (uint64_t i = at + 1; i < c->n && i - at < MAX_AHEAD && !ends(c, i, mk->reg); i++) {
		uint64_t key = key_set(c, i, mk->reg);

		if (key)
			making_add(mk, key);
	}
}

void makers_puc(struct makers *m, uint64_t proto)
{
	const uint8_t *p = image_at(m->w->im, proto, (uint64_t)m->w->l->size_proto.off);
	struct code c;

	if (!open_code(&c, m->w, proto))
		return;
	for (uint64_t i = 0; i + 1 < c.n; i++) {
		struct making mk = { .proto = proto, .pc = walk_get(p, m->w->l->P_code) + 4 * (i + 1),
				     .reg = arg_a(&c, i) };

		if (op_of(&c, i) != c.ops->newtable)
			continue;
		mk.array = array_hint(&c, i);
		look_ahead(&c, i, &mk);
		mk.at_least = least_keys(&c, hash_hint(&c, i));
		mk.at_least = mk.at_least < mk.keys ? mk.at_least : mk.keys;
		makers_add(m, &mk);
	}
}

bool table_shape_puc(const struct walk *w, uint64_t table, struct table_shape *ret)
{
	uint64_t size = (uint64_t)w->l->size_node.off, n;
	struct puc_table t;
	const uint8_t *p;

	if (!puc_table(w, table, &t))
		return false;
	ret->array = t.array_n;
	ret->may_have_grown = !(t.array_n & (t.array_n - 1));
	n = t.no_nodes ? 0 : 1ull << t.log_nodes;
	p = n ? image_at(w->im, t.node, n * size) : NULL;
	for (uint64_t i = 0; p && i < n; i++, p += size) {
		unsigned int key_tag = w->l->version >= 504 ? p[9] : walk_u32(p + 24);

		if ((key_tag & 0x3f) == SHORT_STRING)
			table_shape_add(ret, walk_u64(p + 16), !(p[8] & 0xf));
		else if (p[8] & 0xf)
			ret->may_have_grown = true;
	}
	return true;
}
