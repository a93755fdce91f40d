/* SPDX-License-Identifier: MIT */
/*
 * Names of LuaJIT: backwards from the call to what was put into the slot called
 * (lj_debug.c: lj_debug_funcname, lj_debug_slotname, debug_varname; lj_bc.h; v2.0, v2.1).
 */
#include "names.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "lj_read.h"

#define MAX_CODE (1u << 16)
#define MAX_INFO 8192 /* bytes of the table of variables looked at */

/* Opcodes of v2.1; v2.0 lacks four of them, see op_of(). */
enum {
	BC_ISLT = 0, BC_ISGE, BC_ISLE, BC_ISGT, BC_ISEQV, BC_ISNEV, BC_ISNEP = 11, BC_ISTC = 12, BC_ISFC,
	BC_MOV = 18, BC_UNM = 20, BC_LEN, BC_ADDVN, BC_MODVN = 26, BC_ADDNV, BC_MODNV = 31, BC_ADDVV,
	BC_MODVV = 36, BC_POW, BC_CAT, BC_KSTR, BC_KPRI = 43, BC_KNIL, BC_UGET, BC_UCLO = 50, BC_FNEW,
	BC_TDUP = 53, BC_GGET, BC_GSET, BC_TGETV, BC_TGETS, BC_TGETB, BC_TGETR, BC_TSETV, BC_TSETR = 64,
	BC_CALLM, BC_CALL, BC_CALLMT, BC_CALLT, BC_ITERC, BC_ITERN, BC_VARG,
};

struct code {
	struct lj p;
	uint64_t proto;
	const uint32_t *ins; /* from the function header on */
	uint32_t at;         /* the calling instruction */
	bool v20;
};

static unsigned int op_of(const struct code *c, uint32_t i)
{
	unsigned int op = c->ins[i] & 0xff;

	if (!c->v20 || op < 16)
		return op;
	if (op + 2 < BC_TGETR)
		return op + 2;
	return op + 3 < BC_TSETR ? op + 3 : op + 4;
}

static unsigned int arg_a(uint32_t ins)
{
	return ins >> 8 & 0xff;
}

static unsigned int arg_d(uint32_t ins)
{
	return ins >> 16;
}

/* A string among the prototype's constants, which lie before pt.k, counted from the end. */
static bool constant(const struct code *c, unsigned int i, char *out, size_t size)
{
	uint64_t k, s, len, gct;

	if (!lj_get(&c->p, c->proto, c->p.l->P_k, &k) ||
	    !memread_uint(c->p.mem, k - (uint64_t)c->p.ref * (i + 1), c->p.ref, &s) ||
	    !memread_uint(c->p.mem, s + c->p.ref + 1, 1, &gct) || gct != 4 ||
	    !lj_get(&c->p, s, c->p.l->S_len, &len))
		return false;
	if (len >= size)
		len = size - 1;
	if (!memread_exact(c->p.mem, s + (uint64_t)c->p.l->size_str.off, out, len))
		return false;
	out[len] = '\0';
	return true;
}

struct info {
	uint8_t b[MAX_INFO];
	size_t n, at;
};

static bool open_info(const struct code *c, struct lmt_cell cell, struct info *in)
{
	uint64_t uaddr;

	if (!lj_get(&c->p, c->proto, cell, &uaddr) || !uaddr)
		return false;
	in->at = 0;
	in->n = c->p.mem->read(c->p.mem->ctx, uaddr, in->b, sizeof(in->b));
	return in->n > 0;
}

static const char *next_string(struct info *in)
{
	const char *s = (const char *)in->b + in->at;
	const uint8_t *end = memchr(in->b + in->at, 0, in->n - in->at);

	if (!end)
		return NULL;
	in->at = (size_t)(end - in->b) + 1;
	return s;
}

static bool next_uleb(struct info *in, uint32_t *ret)
{
	unsigned int shift = 0;

	*ret = 0;
	for (; in->at < in->n && shift < 32; shift += 7) {
		uint8_t b = in->b[in->at++];

		*ret |= (uint32_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return true;
	}
	return false;
}

/* The local variable that lives in the slot. Names below 7 are those of loops. */
static bool local(const struct code *c, uint32_t pc, unsigned int slot, char *out, size_t size)
{
	auto_free struct info *in = malloc(sizeof(*in));
	uint32_t start = 0, end, delta;

	if (!in || !open_info(c, c->p.l->P_varinfo, in))
		return false;
	while (in->at < in->n) {
		uint8_t kind = in->b[in->at];
		const char *name = "?";

		if (!kind)
			return false;
		if (kind < 7)
			in->at++;
		else if (!(name = next_string(in)))
			return false;
		if (!next_uleb(in, &delta) || !next_uleb(in, &end))
			return false;
		start += delta;
		if (start > pc)
			return false;
		if (pc < start + end && !slot--)
			return snprintf(out, size, "%s", name) > 0 && kind >= 7;
	}
	return false;
}

static bool upvalue(const struct code *c, unsigned int i, char *out, size_t size)
{
	auto_free struct info *in = malloc(sizeof(*in));
	const char *name = NULL;

	if (!in || !open_info(c, c->p.l->P_uvinfo, in))
		return false;
	for (unsigned int k = 0; k <= i; k++)
		if (!(name = next_string(in)))
			return false;
	return snprintf(out, size, "%s", name) > 0;
}

static bool sets_a(unsigned int op)
{
	return op == BC_ISTC || op == BC_ISFC || (op >= BC_MOV && op <= BC_KPRI) || op == BC_UGET ||
	       (op >= BC_FNEW && op <= BC_GGET) || (op >= BC_TGETV && op <= BC_TGETR);
}

/* Overwrites this slot and those behind it. */
static bool sets_from_a(unsigned int op)
{
	return op == BC_KNIL || (op >= BC_CALLM && op <= BC_VARG);
}

static bool slot_name(const struct code *c, unsigned int slot, char *out, size_t size)
{
	uint32_t at = c->at;

	if (local(c, at, slot, out, size))
		return true;
	while (--at > 0 && at < c->at) {
		unsigned int op = op_of(c, at), a = arg_a(c->ins[at]);

		if (sets_from_a(op) && slot >= a && (op != BC_KNIL || slot <= arg_d(c->ins[at])))
			return false;
		if (!sets_a(op) || a != slot)
			continue;
		switch (op) {
		case BC_MOV:
			slot = arg_d(c->ins[at]);
			if (local(c, at, slot, out, size))
				return true;
			continue;
		case BC_GGET:
			return constant(c, arg_d(c->ins[at]), out, size);
		case BC_TGETS:
			return constant(c, c->ins[at] >> 16 & 0xff, out, size);
		case BC_UGET:
			return upvalue(c, arg_d(c->ins[at]), out, size);
		default:
			return false;
		}
	}
	return false;
}

/* The metamethod that an instruction may call. */
static const char *event_of(unsigned int op)
{
	static const char *const arith[] = { "__add", "__sub", "__mul", "__div", "__mod" };

	if (op >= BC_ADDVN && op <= BC_MODVV)
		return arith[(op - BC_ADDVN) % 5];
	if (op >= BC_TGETV && op <= BC_TGETR)
		return "__index";
	if ((op >= BC_TSETV && op <= BC_TSETR) || op == BC_GSET)
		return "__newindex";
	if (op >= BC_ISEQV && op <= BC_ISNEP)
		return "__eq";
	switch (op) {
	case BC_ISLT: case BC_ISGE:
		return "__lt";
	case BC_ISLE: case BC_ISGT:
		return "__le";
	case BC_UNM:
		return "__unm";
	case BC_LEN:
		return "__len";
	case BC_POW:
		return "__pow";
	case BC_CAT:
		return "__concat";
	case BC_GGET:
		return "__index";
	case BC_FNEW: case BC_FNEW + 1: case BC_TDUP: /* the collector ran, and a finalizer in it */
		return "__gc";
	default:
		return NULL;
	}
}

bool names_luajit(const struct memread *mem, const struct lmt_layout *l, uint64_t proto, uint64_t pc,
		  char *name, size_t size)
{
	struct code c = { .p = { .mem = mem, .l = l, .ref = l->gc64.off == 1 ? 8 : 4 }, .proto = proto };
	uint64_t code = lj_code(&c.p, proto);
	auto_free uint32_t *ins = NULL;
	const char *event;
	unsigned int op;

	c.v20 = l->K_BC_FUNCF.off == 85;
	if ((!c.v20 && l->K_BC_FUNCF.off != 89) || pc < code + 8 || pc - code > 4ull * MAX_CODE)
		return false;
	c.at = (uint32_t)((pc - code) / 4) - 1;
	ins = malloc((c.at + 1) * sizeof(*ins));
	if (!ins || !memread_exact(mem, code, ins, (c.at + 1) * sizeof(*ins)))
		return false;
	c.ins = ins;
	op = op_of(&c, c.at);
	if (op >= BC_CALLM && op <= BC_CALLT)
		return slot_name(&c, arg_a(ins[c.at]), name, size) && *name;
	if (op == BC_ITERC || op == BC_ITERN) {
		snprintf(name, size, "for iterator");
		return true;
	}
	event = event_of(op);
	if (event)
		snprintf(name, size, "%s", event);
	return event != NULL;
}

bool names_luajit_local(const struct memread *mem, const struct lmt_layout *l, uint64_t proto,
			uint64_t pc, unsigned int reg, char *name, size_t size)
{
	struct code c = { .p = { .mem = mem, .l = l, .ref = l->gc64.off == 1 ? 8 : 4 }, .proto = proto };
	uint64_t code = lj_code(&c.p, proto);

	if (pc < code + 4 || pc - code > 4ull * MAX_CODE)
		return false;
	c.at = (uint32_t)((pc - code) / 4) - 1;
	return local(&c, c.at, reg, name, size);
}
