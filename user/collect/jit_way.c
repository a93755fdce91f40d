/* SPDX-License-Identifier: MIT */
/*
 * Between two snapshots a trace went on in one function; or it returned from some, to where the
 * links of the first snapshot's frames say, and called others, of which the second has the links.
 * (Numbers of bytecodes: lj_bc.h, LuaJIT v2.0 and v2.1.)
 */
#include "jit_way.h"

#define MAX_WAY 400 /* bytecodes looked at in a function */
#define LAST_COMPARISON 15
#define JUMP_BIAS 0x8000

/* Bytecodes that matter, by numbering; 2.0 lacks four of 2.1's. */
struct opcodes {
	unsigned int funcf; /* BC_FUNCF tells the numbering */
	uint8_t cat, fnew, tnew, tdup, gset, tset_first, tset_last, call_first, tail_first;
	uint8_t tail_last, call_last, isnext, ret_first, ret_last, fori, loop_last, jmp;
};

static const struct opcodes numberings[] = {
	{ 85, 36, 49, 50, 51, 53, 57, 60, 61, 63, 64, 66, 68, 69, 72, 73, 80, 84 }, /* v2.0 */
	/* v2.1 up to July 2026 */
	{ 89, 38, 51, 52, 53, 55, 60, 64, 65, 67, 68, 70, 72, 73, 76, 77, 84, 88 },
};

struct walker {
	const struct lj *p;
	const struct opcodes *ops;
	struct way *way;
	bool late;
	size_t level;
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
	if (op <= LAST_COMPARISON || op == o->isnext)
		return OP_BRANCH;
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
	if (op >= o->fori && op <= o->loop_last)
		return OP_LOOP;
	return op == o->jmp ? OP_JUMP : OP_OTHER;
}

static void note(struct walker *k, uint64_t proto, uint64_t pc, enum op_class class)
{
	struct way *w = k->way;

	if (class == OP_TAIL_CALL)
		class = OP_CALL;
	if (class < OP_TABLE || class > OP_CALL)
		return;
	if (w->n == WAY_CANDIDATES)
		w->straight = false;
	else
		w->c[w->n++] = (struct candidate){ proto, pc + 4, class, k->late, k->level };
}

static int64_t jump_distance(uint64_t ins)
{
	return (int64_t)(ins >> 16) - JUMP_BIAS;
}

/* Does the way end here? A return or a jump back that only one side of a branch takes is passed. */
static bool is_end(enum op_class class, int64_t distance, bool branched)
{
	bool back = class == OP_JUMP && distance < 0;

	return (class == OP_RETURN || class == OP_TAIL_CALL || back) && !branched;
}

/*
 * Forward from a pc to `end`; 0: to a return or a jump back. Of a branch both sides are taken in
 * order: the trace took one of them.
 */
static void walk(struct walker *k, uint64_t proto, uint64_t pc, uint64_t end)
{
	bool branched = false, after_branch = false;

	for (int i = 0; i < MAX_WAY && pc != end && lj_proto_holds(k->p, proto, pc + 4); i++, pc += 4) {
		enum op_class class;
		int64_t distance;
		uint64_t ins;

		if (!memread_uint(k->p->mem, pc, 4, &ins))
			break;
		class = class_of(k->ops, (uint8_t)ins);
		distance = jump_distance(ins);
		note(k, proto, pc, class);
		if (is_end(class, distance, branched)) {
			k->way->straight &= !end && class != OP_TAIL_CALL;
			return;
		}
		branched |= class == OP_BRANCH || class == OP_LOOP;
		if (class == OP_JUMP && distance > 0 && !after_branch)
			pc += 4 * (uint64_t)distance;
		after_branch = class == OP_BRANCH;
	}
	k->way->straight &= pc == end && !branched;
}

/*
 * From behind the last call before `end` up to it: where a function that returned goes on. With
 * nothing else on the way, a whole function was inlined there, called and left again.
 */
static void walk_after_call(struct walker *k, uint64_t proto, uint64_t end)
{
	uint64_t pc = end, ins;

	for (int i = 0; i < MAX_WAY && pc > lj_code(k->p, proto) + 4; i++) {
		if (!memread_uint(k->p->mem, pc - 4, 4, &ins) ||
		    class_of(k->ops, (uint8_t)ins) == OP_CALL)
			break;
		pc -= 4;
	}
	walk(k, proto, pc, end);
	if (!k->way->n && pc > lj_code(k->p, proto) + 4)
		note(k, proto, pc - 4, OP_CALL);
	k->way->straight = false;
}

/* The function of the frame at a level; 0 is the one the trace runs on top of. pc: somewhere in it. */
static uint64_t proto_at(const struct lj *p, const struct jit_snap *s, size_t level, uint64_t pc)
{
	uint64_t fn = level ? s->f[level - 1].fn : 0, proto = fn ? lj_proto_of(p, fn) : 0;

	if (level == s->n)
		return s->proto;
	if (!proto && !fn)
		jit_proto_at(p, pc, &proto);
	return proto;
}

static bool same_frame(const struct jit_frame *a, const struct jit_frame *b)
{
	return a->slot == b->slot && a->link == b->link && a->fn == b->fn;
}

/* Frames that run no bytecode: of built-in functions, and the lower one of two of a vararg function. */
static bool is_idle(const struct lj *p, const struct jit_snap *s, size_t level)
{
	return (level < s->n && jit_is_vararg(&s->f[level])) ||
	       (level && s->f[level - 1].fn && !lj_proto_of(p, s->f[level - 1].fn));
}

/* Out of the first snapshot's frames down to a level. Returns where that one goes on; 0 unknown. */
static uint64_t leave(struct walker *k, const struct jit_snap *a, size_t level)
{
	uint64_t pc = a->pc;

	for (size_t i = a->n; i > level; i--) {
		uint64_t proto = pc ? proto_at(k->p, a, i, pc) : 0;

		k->level = i;
		if (proto && !is_idle(k->p, a, i))
			walk(k, proto, pc, 0);
		pc = jit_caller_pc(&a->f[i - 1]);
	}
	k->level = level;
	return pc;
}

/* From a level, at pc, into the second snapshot's frames and up to its own pc. */
static void enter(struct walker *k, const struct jit_snap *b, size_t level, uint64_t pc)
{
	for (size_t i = level; i <= b->n; i++) {
		uint64_t to = i == b->n ? b->pc : jit_caller_pc(&b->f[i]);
		uint64_t proto = to ? proto_at(k->p, b, i, to) : 0;

		k->late = i > level;
		k->level = i;
		if (is_idle(k->p, b, i))
			continue;
		if (i > level)
			pc = proto ? lj_code(k->p, proto) + 4 : 0;
		if (proto && pc)
			walk(k, proto, pc, i == b->n ? to : to - 4);
		else
			k->way->straight = false;
	}
}

/* The bytecode at `at` is a comparison, with its jump behind it: where that goes; 0: it is none. */
static uint64_t branch_target(const struct walker *k, uint64_t proto, uint64_t at)
{
	uint64_t ins, jump;

	if (at <= lj_code(k->p, proto) || !memread_uint(k->p->mem, at, 4, &ins) ||
	    (uint8_t)ins > LAST_COMPARISON || !memread_uint(k->p->mem, at + 4, 4, &jump) ||
	    class_of(k->ops, (uint8_t)jump) != OP_JUMP)
		return 0;
	return at + 8 + 4 * (uint64_t)jump_distance(jump);
}

/* Where the trace went on instead, if a comparison shortly before pc leads there; else 0. */
static uint64_t other_side(const struct walker *k, uint64_t proto, uint64_t pc)
{
	for (uint64_t at = pc - 8, i = 0; i < MAX_WAY && at > lj_code(k->p, proto); at -= 4, i++)
		if (branch_target(k, proto, at) == pc)
			return at + 8;
	return 0;
}

/*
 * The snapshot of a comparison says where the trace is left: on the side that it did not take. The one that
 * follows it is on the other side, but not in the repeated part of a loop, where snapshots are merged
 * (lj_record.c: rec_comp_fixup; lj_opt_loop.c: loop_subst_snap). Which of both a snapshot is, the one before
 * it tells: that of the comparison.
 */
static uint64_t start_of(struct walker *k, const struct jit_snap *before, const struct jit_snap *a)
{
	uint64_t taken = before ? branch_target(k, a->proto, a->pc - 8) : 0;
	uint64_t other = taken ? taken : before ? other_side(k, a->proto, a->pc) : 0;

	if (!other || (before->proto == a->proto && before->pc == other))
		return a->pc;
	k->way->straight = false;
	return taken ? taken : a->pc;
}

bool jit_way(const struct lj *p, const struct jit_snap *before, const struct jit_snap *from,
	     const struct jit_snap *b, struct way *w)
{
	struct walker k = { .p = p, .ops = opcodes_of(p), .way = w, .level = from->n };
	struct jit_snap start = *from, *a = &start;
	size_t level = 0;

	*w = (struct way){ .straight = true };
	if (!k.ops)
		return false;
	a->pc = start_of(&k, before, from);
	while (b && level < a->n && level < b->n && same_frame(&a->f[level], &b->f[level]))
		level++;
	if (!b || (level == a->n && level == b->n && a->proto != b->proto)) {
		walk(&k, a->proto, a->pc, 0);
		k.late = true; /* it returned below where it started */
		k.level = 0;
		if (b)
			walk_after_call(&k, b->proto, b->pc);
	} else {
		enter(&k, b, level, leave(&k, a, level));
	}
	return true;
}

uint64_t jit_maker_from(const struct lj *p, uint64_t proto, uint64_t pc, enum op_class class)
{
	const struct opcodes *ops = opcodes_of(p);
	uint64_t ins;

	for (int i = 0; ops && i < MAX_WAY && lj_proto_holds(p, proto, pc + 4); i++, pc += 4) {
		if (!memread_uint(p->mem, pc, 4, &ins))
			return 0;
		if (class_of(ops, (uint8_t)ins) == class)
			return pc + 4;
	}
	return 0;
}

bool jit_may_make(const struct lj *p, uint64_t proto, enum op_class class)
{
	uint64_t from = lj_code(p, proto) + 4;

	return !lj_proto_holds(p, proto, from + 4) || lj_proto_holds(p, proto, from + 4 * MAX_WAY) ||
	       jit_maker_from(p, proto, from, class) || jit_maker_from(p, proto, from, OP_CALL) ||
	       jit_maker_from(p, proto, from, OP_TAIL_CALL);
}
