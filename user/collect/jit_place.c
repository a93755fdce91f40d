/* SPDX-License-Identifier: MIT */
/*
 * A trace does not say which bytecode each of its instructions came from. It has snapshots: at
 * certain bytecodes, with the machine code offset, the pc, and the functions on the stack. An
 * allocation lies between two snapshots, so its bytecode lies on the way from the pc of the one
 * to that of the next. Usually just one instruction on that way allocates; if there are several,
 * the kind of the block and the number of equal calls before ours decide.
 * (lj_jit.h, lj_snap.c, lj_trace.c: lj_trace_unwind, LuaJIT v2.1 from a32aeadc on)
 */
#include "jit_place.h"

#include "jit_trace.h"
#include "jit_way.h"
#include "kind.h"
#include "resolve/insn.h"

#define MAX_INTERVAL 4096 /* bytes of machine code between two snapshots */
#define MAX_HIDDEN 100

/* Calls in the machine code between two snapshots of the function that ours calls. */
struct calls {
	unsigned int before, all; /* all 0: not known */
};

static struct calls equal_calls(const struct lj *p, uint64_t from, uint64_t ret, uint64_t end)
{
	uint8_t code[MAX_INTERVAL];
	struct calls n = { 0 };
	uint64_t target;
	struct insn in;

	if (ret < from + 5 || end < ret || end - from > sizeof(code) ||
	    !memread_exact(p->mem, from, code, end - from) ||
	    !insn_decode(code + (ret - from) - 5, 5, ret - 5, &in) || in.op != INSN_CALL)
		return n;
	target = in.target;
	for (size_t at = 0; at < end - from; at += in.len) {
		if (!insn_decode(code + at, end - from - at, from + at, &in)) {
			n.all = 0;
			return n;
		}
		if (in.op != INSN_CALL || in.target != target)
			continue;
		n.before += from + at + in.len < ret;
		n.all++;
	}
	return n;
}

/* What kind of instruction makes such a block, read off its header; OP_OTHER: cannot tell. */
static enum op_class class_of_block(const struct lj *p, uint64_t block)
{
	static const enum op_class classes[] = {
		[KIND_TABLE] = OP_TABLE, [KIND_STRING] = OP_STRING, [KIND_FUNCTION] = OP_FUNCTION,
		[KIND_CDATA] = OP_CALL,
	};
	enum block_kind kind = block ? kind_of_block(p->mem, p->l, block) : KIND_UNKNOWN;

	return kind < sizeof(classes) / sizeof(classes[0]) ? classes[kind] : OP_OTHER;
}

/* The nth candidate of a class, counting calls too if they may have made the block; or the last. */
static const struct candidate *nth(const struct way *w, enum op_class class, bool calls, unsigned int n)
{
	const struct candidate *last = NULL;

	for (size_t i = 0; i < w->n; i++) {
		if (w->c[i].class != class && !(calls && w->c[i].class == OP_CALL))
			continue;
		last = &w->c[i];
		if (!n--)
			break;
	}
	return last;
}

static unsigned int count(const struct way *w, enum op_class class)
{
	unsigned int n = 0;

	for (size_t i = 0; i < w->n; i++)
		n += w->c[i].class == class;
	return n;
}

/* kind OP_OTHER: memory an object owns, of which tables have most. */
static const struct candidate *choose(const struct way *w, enum op_class kind, struct calls calls)
{
	static const enum op_class order[] = { OP_TABLE, OP_GROW, OP_STRING, OP_CALL, OP_FUNCTION };
	unsigned int own = count(w, kind);
	const struct candidate *c = NULL;

	if (kind != OP_OTHER) /* without one of the kind, a built-in function made it */
		return nth(w, kind, !own || (kind == OP_STRING && calls.all > own), calls.before);
	for (size_t i = 0; !c && i < sizeof(order) / sizeof(order[0]); i++)
		c = nth(w, order[i], false, calls.before);
	return c;
}

/* A function that runs from beginning to end between two snapshots may have made the block. */
static bool is_hidden(const struct lj *p, uint64_t tr, enum op_class kind)
{
	uint64_t protos[MAX_HIDDEN];
	size_t n;

	if (!jit_hidden(p, tr, protos, MAX_HIDDEN, &n))
		return true;
	for (size_t i = 0; i < n; i++)
		if (jit_may_make(p, protos[i], kind))
			return true;
	return false;
}

/*
 * Every instruction on the way was run, each that makes such blocks calls the same function, and
 * there are as many calls of it: then ours is the one with its number. C data is made by
 * arithmetic and by reads of fields, too.
 */
static bool is_certain(const struct lj *p, uint64_t tr, const struct way *w, enum op_class kind,
		       struct calls calls)
{
	unsigned int own = count(w, kind), others = count(w, OP_CALL);

	if (!w->straight || !calls.all || (kind != OP_TABLE && kind != OP_STRING))
		return false;
	if (kind == OP_TABLE && own == calls.all && !others)
		return true;
	if (calls.all != own + others && (kind == OP_STRING || calls.all != own))
		return false;
	return !is_hidden(p, tr, kind);
}

/*
 * Before 2021 snapshots have no offsets, and where the trace starts is all that is known. The
 * first instruction from there on that makes such a block is the likeliest.
 */
static bool place_by_start(const struct lj *p, uint64_t tr, enum op_class kind, struct jit_place *ret)
{
	uint64_t pc = 0;

	if (!lj_get(p, tr, p->l->tr_startpt, &ret->proto) || !lj_get(p, tr, p->l->tr_startpc, &ret->pc))
		return false;
	if (kind != OP_OTHER)
		pc = jit_maker_from(p, ret->proto, ret->pc, kind);
	if (!pc && kind != OP_OTHER)
		pc = jit_maker_from(p, ret->proto, ret->pc, OP_CALL);
	ret->pc = pc ? pc : ret->pc + 4;
	return true;
}

bool jit_place(const struct lj *p, uint64_t mcode_pc, uint64_t block, struct jit_place *ret)
{
	enum op_class kind = class_of_block(p, block);
	uint64_t mcode = 0, tr = jit_trace_at(p, mcode_pc, &mcode), i, size = 0;
	const struct candidate *c = NULL;
	struct jit_snap before, a, b;
	bool has_before, has_b;
	struct calls calls;
	struct way w;

	*ret = (struct jit_place){ .trace = 0 };
	if (!tr)
		return false;
	/* The address is behind the call: there, the next snapshot may begin. */
	if (!jit_snap_at(p, tr, mcode_pc - mcode - 1, &i) || !jit_snap_read(p, tr, i, &a))
		return place_by_start(p, tr, kind, ret);
	has_before = i && jit_snap_read(p, tr, i - 1, &before);
	has_b = jit_snap_read(p, tr, i + 1, &b) && b.mcofs > a.mcofs;
	lj_get(p, tr, p->l->tr_szmcode, &size);
	calls = equal_calls(p, mcode + a.mcofs, mcode_pc, mcode + (has_b ? b.mcofs : size));
	if (jit_way(p, has_before ? &before : NULL, &a, has_b ? &b : NULL, &w)) {
		c = choose(&w, kind, calls);
		ret->certain = c && is_certain(p, tr, &w, kind, calls);
	}
	ret->trace = tr;
	ret->proto = c ? c->proto : a.proto;
	ret->pc = c ? c->pc : a.pc + 4;
	ret->snap = c && c->late ? i + 1 : i;
	ret->level = c ? c->level : a.n;
	ret->replaced = c && c->late ? b.replaced : a.replaced;
	return true;
}
