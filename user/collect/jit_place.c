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

#include <string.h>

#include "resolve/insn.h"

#define MAX_TRACES (1u << 16)
#define MAX_SNAPS (1u << 16)
#define MAX_WAY 400        /* bytecodes looked at between two snapshots */
#define MAX_CANDIDATES 24
#define MAX_INTERVAL 4096  /* bytes of machine code between two snapshots */
#define SNAP_FRAME 0x010000u /* a snapshot entry that holds a frame's function (lj_jit.h) */
#define REF_BIAS 0x8000u     /* below: constants (lj_ir.h) */
#define SCAN_WORDS 256     /* bytecodes read at once, searching a function's header… */
#define SCAN_CHUNKS 64     /* …and how often */
#define IRT_TYPE 0x1f /* of a constant of the trace (lj_ir.h) */
#define IRT_FUNC 8
#define GCT_STRING 4
#define GCT_PROTO 7
#define GCT_CDATA 10
#define GCT_TABLE 11

/* Bytecodes that matter, by numbering (lj_bc.h); 2.0 lacks four of 2.1's. */
struct opcodes {
	unsigned int funcf; /* BC_FUNCF tells the numbering */
	uint8_t cat, fnew, tnew, tdup, gset, tset_first, tset_last, call_first, tail_first;
	uint8_t tail_last, call_last, ret_first, ret_last, jmp;
};

static const struct opcodes numberings[] = {
	{ 85, 36, 49, 50, 51, 53, 57, 60, 61, 63, 64, 66, 69, 72, 84 }, /* v2.0 */
	{ 89, 38, 51, 52, 53, 55, 60, 64, 65, 67, 68, 70, 73, 76, 88 }, /* v2.1 up to July 2026 */
};

enum op_class { OP_OTHER, OP_TABLE, OP_STRING, OP_FUNCTION, OP_GROW, OP_CALL, OP_TAIL_CALL,
		OP_RETURN, OP_JUMP };

struct snap {
	uint64_t proto, pc; /* innermost function; pc of the instruction to resume at */
	uint64_t mcofs;
	unsigned int frames;
};

struct candidate {
	uint64_t proto, pc; /* behind the instruction */
	enum op_class class;
	bool returned; /* a call that was over at the end of the way: what it made is in between */
};

struct way {
	const struct lj *p;
	const struct opcodes *ops;
	struct candidate c[MAX_CANDIDATES];
	size_t n;
};

static const struct opcodes *opcodes_of(const struct lj *p)
{
	for (size_t i = 0; i < sizeof(numberings) / sizeof(numberings[0]); i++)
		if ((int)numberings[i].funcf == p->l->K_BC_FUNCF.off)
			return &numberings[i];
	return NULL;
}

static enum op_class class_of(const struct opcodes *o, uint8_t op)
{
	if (op == o->tnew || op == o->tdup)
		return OP_TABLE;
	if (op == o->cat)
		return OP_STRING;
	if (op == o->fnew)
		return OP_FUNCTION;
	if (op >= o->tail_first && op <= o->tail_last)
		return OP_TAIL_CALL;
	if (op >= o->call_first && op <= o->call_last)
		return OP_CALL;
	if (op == o->gset || (op >= o->tset_first && op <= o->tset_last))
		return OP_GROW;
	if (op >= o->ret_first && op <= o->ret_last)
		return OP_RETURN;
	return op == o->jmp ? OP_JUMP : OP_OTHER;
}

/* The trace whose machine code the address points into (behind a call); 0 none. */
static uint64_t trace_of(const struct lj *p, uint64_t pc, uint64_t *mcode_ret)
{
	uint64_t J = p->g + (uint64_t)(int64_t)(p->l->GG_J.off - p->l->GG_G.off), refs, n;

	if (!layout_has(p->l->GG_J) || !lj_get(p, J, p->l->J_trace, &refs) ||
	    !lj_get(p, J, p->l->J_sizetrace, &n) || n > MAX_TRACES)
		return 0;
	for (uint64_t i = 1; i < n; i++) {
		uint64_t tr, mcode, size;

		if (!memread_uint(p->mem, refs + p->ref * i, p->ref, &tr))
			return 0;
		if (tr && lj_get(p, tr, p->l->tr_mcode, &mcode) &&
		    lj_get(p, tr, p->l->tr_szmcode, &size) && pc > mcode && pc - mcode <= size) {
			*mcode_ret = mcode;
			return tr;
		}
	}
	return 0;
}

/*
 * The prototype that holds a bytecode, from the bytecode alone: its first one is a function
 * header, and the GCproto lies right before that. Found backwards and checked.
 */
static uint64_t proto_by_header(const struct lj *p, const struct opcodes *ops, uint64_t pc)
{
	uint32_t words[SCAN_WORDS];

	for (int chunk = 0; chunk < SCAN_CHUNKS && ops; chunk++) {
		pc -= sizeof(words);
		if (!memread_exact(p->mem, pc, words, sizeof(words)))
			return 0;
		for (size_t i = SCAN_WORDS; i-- > 0;) {
			uint64_t proto = pc + 4 * i - (uint64_t)p->l->size_proto.off, gct;

			if ((uint8_t)words[i] < ops->funcf || (uint8_t)words[i] > ops->funcf + 7)
				continue;
			if (memread_uint(p->mem, proto + p->ref + 1, 1, &gct) && gct == GCT_PROTO &&
			    lj_proto_holds(p, proto, pc + 4 * i + 4))
				return proto;
		}
	}
	return 0;
}

bool jit_proto_at(const struct lj *p, uint64_t pc, uint64_t *proto_ret)
{
	*proto_ret = pc ? proto_by_header(p, opcodes_of(p), pc) : 0;
	return *proto_ret != 0;
}

/*
 * The function a snapshot's pc is in. A frame entry refers to a constant of the trace that is the
 * function (GC64: the entry before the marked one, and the pointer in the IR slot behind). Where
 * the trace is not tied to one closure there is no constant; then the bytecode itself tells.
 */
static bool innermost(const struct lj *p, uint64_t tr, uint64_t map, uint64_t n, struct snap *s)
{
	uint64_t ir, fn, before = 0, start;

	s->proto = 0;
	s->frames = 0;
	if (!lj_get(p, tr, p->l->tr_ir, &ir))
		return false;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t entry, ref;

		if (!memread_uint(p->mem, map + 4 * i, 4, &entry))
			return false;
		ref = (p->ref == 8 ? before : entry) & 0xffff;
		before = entry;
		if (!(entry & SNAP_FRAME))
			continue;
		s->frames++;
		if (ref < REF_BIAS &&
		    memread_uint(p->mem, ir + 8 * (ref + (p->ref == 8)), p->ref, &fn) &&
		    lj_proto_holds(p, lj_proto_of(p, fn), s->pc + 4))
			s->proto = lj_proto_of(p, fn);
	}
	/* The trace's own frame is below the first entry. */
	if (!s->proto && lj_get(p, tr, p->l->tr_startpt, &start) &&
	    lj_proto_holds(p, start, s->pc + 4))
		s->proto = start;
	if (!s->proto)
		s->proto = proto_by_header(p, opcodes_of(p), s->pc);
	return s->proto != 0 && lj_proto_holds(p, s->proto, s->pc + 4);
}

static bool read_snap(const struct lj *p, uint64_t tr, uint64_t i, struct snap *s)
{
	uint64_t snaps, map, mapofs, nent, at, pc;

	if (!lj_get(p, tr, p->l->tr_snap, &snaps) || !lj_get(p, tr, p->l->tr_snapmap, &map))
		return false;
	at = snaps + (uint64_t)p->l->size_snap.off * i;
	if (!lj_get(p, at, p->l->snap_mcofs, &s->mcofs) ||
	    !lj_get(p, at, p->l->snap_mapofs, &mapofs) || !lj_get(p, at, p->l->snap_nent, &nent) ||
	    !memread_uint(p->mem, map + 4 * (mapofs + nent), p->ref, &pc))
		return false;
	s->pc = p->ref == 8 ? pc >> 8 : pc;
	return innermost(p, tr, map + 4 * mapofs, nent, s);
}

/* The last snapshot whose machine code begins at or before the offset; false: there is none. */
static bool snap_before(const struct lj *p, uint64_t tr, uint64_t ofs, uint64_t *ret)
{
	uint64_t snaps, n;

	if (!lj_get(p, tr, p->l->tr_snap, &snaps) || !lj_get(p, tr, p->l->tr_nsnap, &n) || !n ||
	    n > MAX_SNAPS || !layout_has(p->l->snap_mcofs))
		return false;
	*ret = 0;
	for (uint64_t i = 1; i < n; i++) {
		uint64_t mcofs;

		if (!lj_get(p, snaps + (uint64_t)p->l->size_snap.off * i, p->l->snap_mcofs, &mcofs) ||
		    mcofs > ofs)
			break;
		*ret = i;
	}
	return true;
}

static void note(struct way *w, uint64_t proto, uint64_t pc, enum op_class class)
{
	if (class == OP_TAIL_CALL)
		class = OP_CALL;
	if (class >= OP_TABLE && class <= OP_CALL && w->n < MAX_CANDIDATES)
		w->c[w->n++] = (struct candidate){ proto, pc + 4, class, false };
}

/*
 * Forward from a pc: up to `end` (0: none), a return, a jump back, or a call if that leaves the
 * function. Both sides of a branch are taken in order: the trace took one of them.
 */
static void walk(struct way *w, uint64_t proto, uint64_t pc, uint64_t end, bool stop_at_call)
{
	for (int i = 0; i < MAX_WAY && pc != end && lj_proto_holds(w->p, proto, pc + 4); i++) {
		enum op_class class;
		uint64_t ins;

		if (!memread_uint(w->p->mem, pc, 4, &ins))
			return;
		class = class_of(w->ops, (uint8_t)ins);
		if (class == OP_RETURN || (class == OP_CALL && stop_at_call))
			return;
		if (class == OP_JUMP && (ins >> 16) < 0x8000)
			return; /* backwards: the biased distance is below its middle */
		note(w, proto, pc, class);
		if (class == OP_TAIL_CALL)
			return;
		pc += 4;
	}
}

/*
 * From behind the last call before `end` up to it: where a function that returned goes on. With
 * nothing else on the way, a whole function was inlined there, called and left again.
 */
static void walk_after_call(struct way *w, uint64_t proto, uint64_t end)
{
	uint64_t pc = end, ins;

	for (int i = 0; i < MAX_WAY && pc > lj_code(w->p, proto) + 4; i++) {
		if (!memread_uint(w->p->mem, pc - 4, 4, &ins) ||
		    class_of(w->ops, (uint8_t)ins) == OP_CALL)
			break;
		pc -= 4;
	}
	walk(w, proto, pc, end, false);
	if (!w->n && pc > lj_code(w->p, proto) + 4) {
		note(w, proto, pc - 4, OP_CALL);
		w->c[0].returned = true;
	}
}

/* The instructions on the way from one snapshot to the next that may allocate. */
static void find_way(struct way *w, const struct snap *a, const struct snap *b)
{
	if (!b) {
		walk(w, a->proto, a->pc, 0, false);
	} else if (a->proto == b->proto && a->frames == b->frames) {
		walk(w, a->proto, a->pc, b->pc, false);
	} else if (b->frames < a->frames || !b->frames) { /* returned, maybe below its start */
		walk(w, a->proto, a->pc, 0, false);
		walk_after_call(w, b->proto, b->pc);
	} else {
		walk(w, a->proto, a->pc, 0, true);
		walk(w, b->proto, lj_code(w->p, b->proto) + 4, b->pc, false);
	}
}

/* How many calls of the same function precede the one that returns to `ret`, from `from` on. */
static unsigned int equal_calls(const struct lj *p, uint64_t from, uint64_t ret)
{
	uint8_t code[MAX_INTERVAL];
	uint64_t target = 0;
	unsigned int n = 0;
	struct insn in;

	if (ret < from + 5 || ret - from > sizeof(code) ||
	    !memread_exact(p->mem, from, code, ret - from) ||
	    !insn_decode(code + (ret - from) - 5, 5, ret - 5, &in) || in.op != INSN_CALL)
		return 0;
	target = in.target;
	for (size_t at = 0; at + 5 < ret - from;) {
		if (!insn_decode(code + at, ret - from - at, from + at, &in))
			return n;
		n += in.op == INSN_CALL && in.target == target;
		at += in.len;
	}
	return n;
}

/* What kind of instruction makes such a block, read off its header; OP_OTHER: cannot tell. */
static enum op_class class_of_block(const struct lj *p, uint64_t block)
{
	uint64_t gct;

	if (!block || !memread_uint(p->mem, block + p->ref + 1, 1, &gct))
		return OP_OTHER;
	switch (gct) {
	case GCT_STRING:
		return OP_STRING;
	case LJ_GCT_FUNCTION:
		return OP_FUNCTION;
	case GCT_TABLE:
		return OP_TABLE;
	case GCT_CDATA:
		return OP_CALL;
	default:
		return OP_OTHER;
	}
}

static const struct candidate *nth(const struct way *w, enum op_class class, unsigned int n)
{
	const struct candidate *last = NULL;

	for (size_t i = 0; i < w->n; i++) {
		if (w->c[i].class != class)
			continue;
		last = &w->c[i];
		if (!n--)
			break;
	}
	return last;
}

/* kind OP_OTHER: memory an object owns, of which tables have most. */
static const struct candidate *choose(const struct way *w, enum op_class kind, unsigned int n)
{
	static const enum op_class order[] = { OP_TABLE, OP_GROW, OP_STRING, OP_CALL, OP_FUNCTION };
	const struct candidate *c = NULL;

	if (kind != OP_OTHER) {
		c = nth(w, kind, n);
		return c ? c : nth(w, OP_CALL, n); /* a built-in function made it */
	}
	for (size_t i = 0; !c && i < sizeof(order) / sizeof(order[0]); i++)
		c = nth(w, order[i], n);
	return c;
}

/* Just one instruction on the way makes blocks of this kind. (C data is made by arithmetic, too.) */
static bool is_certain(const struct way *w, enum op_class kind, const struct candidate *c)
{
	unsigned int same = 0;

	for (size_t i = 0; c && i < w->n; i++)
		same += w->c[i].class == c->class;
	return c && kind == c->class && kind != OP_CALL && same == 1;
}

/* The first instruction of a prototype from pc on that makes such a block; pc behind it. 0: none. */
static uint64_t maker_from(const struct lj *p, const struct opcodes *ops, uint64_t proto, uint64_t pc,
			   enum op_class kind)
{
	uint64_t ins;

	for (int i = 0; i < MAX_WAY && lj_proto_holds(p, proto, pc + 4); i++, pc += 4) {
		if (!memread_uint(p->mem, pc, 4, &ins))
			return 0;
		if (class_of(ops, (uint8_t)ins) == kind)
			return pc + 4;
	}
	return 0;
}

static uint64_t maker_in(const struct lj *p, const struct opcodes *ops, uint64_t proto, enum op_class kind)
{
	return maker_from(p, ops, proto, lj_code(p, proto) + 4, kind);
}

/*
 * Before 2021 snapshots have no offsets, and where the trace starts is all that is known. The first instruction
 * from there on that makes such a block is the likeliest.
 */
static bool place_by_start(const struct lj *p, const struct opcodes *ops, uint64_t tr, enum op_class kind,
			   struct jit_place *ret)
{
	uint64_t pc = 0;

	if (!lj_get(p, tr, p->l->tr_startpt, &ret->proto) || !lj_get(p, tr, p->l->tr_startpc, &ret->pc))
		return false;
	if (ops && kind != OP_OTHER)
		pc = maker_from(p, ops, ret->proto, ret->pc, kind);
	if (ops && !pc && kind != OP_OTHER)
		pc = maker_from(p, ops, ret->proto, ret->pc, OP_CALL);
	ret->pc = pc ? pc : ret->pc + 4;
	return true;
}

/* The prototype of a Lua function that is a constant of the trace; 0: it is something else. */
static uint64_t constant_proto(const struct lj *p, uint64_t ir, uint64_t ref)
{
	uint64_t at = ir + 8 * ref, type, fn;

	if (!memread_uint(p->mem, at + 4, 1, &type) || (type & IRT_TYPE) != IRT_FUNC ||
	    !memread_uint(p->mem, at + (p->ref == 8 ? 8 : 0), p->ref, &fn))
		return 0;
	return lj_proto_of(p, fn);
}

static bool made_in(const struct way *w, uint64_t proto, enum op_class kind, uint64_t call_proto,
		    struct jit_place *ret)
{
	uint64_t pc = proto && proto != call_proto ? maker_in(w->p, w->ops, proto, kind) : 0;

	if (!pc)
		return false;
	ret->proto = proto;
	ret->pc = pc;
	return true;
}

/* The instructions of the trace from one snapshot to the next; what they are, is told next to mcofs. */
static bool snap_refs(const struct lj *p, uint64_t tr, uint64_t i, uint64_t *from, uint64_t *to)
{
	uint64_t snaps, n, at;

	if (!layout_has(p->l->snap_mcofs) || !lj_get(p, tr, p->l->tr_snap, &snaps) ||
	    !lj_get(p, tr, p->l->tr_nsnap, &n) || i + 1 >= n)
		return false;
	at = snaps + (uint64_t)p->l->size_snap.off * i + (uint64_t)p->l->snap_mcofs.off - 2;
	return memread_uint(p->mem, at, 2, from) &&
	       memread_uint(p->mem, at + (uint64_t)p->l->size_snap.off, 2, to) && *from >= REF_BIAS &&
	       *to >= *from && *to - *from < MAX_INTERVAL;
}

/*
 * A short function that is inlined between two snapshots leaves no trace of its own in them, but
 * the trace is tied to it by a comparison with a constant. When nothing on the way makes such a
 * block, but it calls something, and a function among those compared with there does make one, or
 * else any among the trace's constants, then that is the place.
 */
static bool callee_place(const struct way *w, uint64_t tr, uint64_t snap, enum op_class kind,
			 struct jit_place *ret)
{
	const struct candidate *call = nth(w, OP_CALL, 0);
	uint64_t ir, nk, from, to, op;

	if (!call || kind == OP_OTHER || !lj_get(w->p, tr, w->p->l->tr_ir, &ir) ||
	    !lj_get(w->p, tr, w->p->l->tr_nk, &nk) || nk >= REF_BIAS)
		return false;
	ret->caller_pc = call->pc;
	if (snap_refs(w->p, tr, snap, &from, &to))
		for (uint64_t ref = from; ref < to; ref++)
			if (memread_uint(w->p->mem, ir + 8 * ref + 2, 2, &op) && op >= nk && op < REF_BIAS &&
			    made_in(w, constant_proto(w->p, ir, op), kind, call->proto, ret))
				return true;
	for (uint64_t ref = nk; ref < REF_BIAS; ref++)
		if (made_in(w, constant_proto(w->p, ir, ref), kind, call->proto, ret))
			return true;
	ret->caller_pc = 0;
	return false;
}

bool jit_place(const struct lj *p, uint64_t mcode_pc, uint64_t block, struct jit_place *ret)
{
	enum op_class kind = class_of_block(p, block);
	struct way w = { .p = p, .ops = opcodes_of(p) };
	uint64_t mcode = 0, tr = trace_of(p, mcode_pc, &mcode), i, n_snaps = 0;
	const struct candidate *c = NULL;
	struct snap a, b;
	bool has_b;

	*ret = (struct jit_place){ .trace = 0 };
	if (!tr)
		return false;
	if (!snap_before(p, tr, mcode_pc - mcode, &i) || !read_snap(p, tr, i, &a))
		return place_by_start(p, w.ops, tr, kind, ret);
	lj_get(p, tr, p->l->tr_nsnap, &n_snaps);
	has_b = i + 1 < n_snaps && read_snap(p, tr, i + 1, &b) && b.mcofs > a.mcofs;
	if (w.ops) {
		find_way(&w, &a, has_b ? &b : NULL);
		c = choose(&w, kind, equal_calls(p, mcode + a.mcofs, mcode_pc));
	}
	ret->proto = c ? c->proto : a.proto;
	ret->pc = c ? c->pc : a.pc + 4;
	ret->certain = is_certain(&w, kind, c);
	ret->trace = tr;
	if (c && (c->class != kind || c->returned) && callee_place(&w, tr, i, kind, ret)) {
		ret->snap = i;
		return true;
	}
	ret->snap = has_b && ret->proto != a.proto && ret->proto == b.proto ? i + 1 : i;
	return true;
}
