/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * walk_lua: CallInfos of PUC Lua 5.1 to 5.5, from the innermost outwards. BPF only.
 *
 *	L.ci ─► CallInfo ── func ─► stack slot ─► closure ── p ─► Proto
 *	           │ savedpc
 *	           ▼ previous (5.1: the array element before)
 *	        CallInfo …                    up to base_ci, the level of the host program
 */
#ifndef LMT_WALK_LUA_BPF_H
#define LMT_WALK_LUA_BPF_H

#include "read.bpf.h"
#include "thread.bpf.h"

#define TAG_FUNCTION 6
#define STACK_BYTES_MAX (32u << 20) /* LUAI_MAXSTACK values and some; no address lies so low */

/* What a walker found, or what its caller is to call then, so that calls nest less deeply. */
enum {
	TOP_NONE,
	TOP_FOUND,
	TOP_PC_51, /* find_pc_51() */
	TOP_LEARN, /* puc_learn() */
	TOP_PARTS, /* lj_top_by_parts() */
	TOP_TRACE, /* lj_learn_trace() */
};

/* 5.1 tells Lua from C in the closure only: the function's stack slot → tag → isC. 0: C. */
static __always_inline __u64 lua_closure_51(const struct lmt_layout *lay, __u64 func)
{
	__u64 slot[2];
	__u8 is_c = 1;

	if (!read_user(slot, sizeof(slot), func) || (slot[1] & 0xf) != TAG_FUNCTION)
		return 0;
	return read_user(&is_c, 1, slot[0] + (__u32)lay->CCL_isC.off) && !is_c ? slot[0] : 0;
}

#define UNWIND_WORDS 8 /* below a frame's end: return address and saved registers */

#define NOWHERE 255

/* How lmt_state.pc_at tells a place on the stack. */
static __always_inline __u8 stack_place(__u64 sp, __u64 place)
{
	__u64 n = (place - sp) / 8;

	return n < NOWHERE - IN_REGISTERS ? (__u8)(IN_REGISTERS + n) : NOWHERE;
}

/*
 * Undoes the frame that c, which is one of h's, returns into; false at a return address without a row.
 * sp: of the allocator's caller, from which h->at counts; 0: nobody asks where the registers are.
 */
static __always_inline bool unwind_step(struct hit *h, struct caller *c, __u32 slot, __u64 sp)
{
	__u64 key = LMT_KEY(slot, c->ip), end;
	struct lmt_unwind *row = bpf_map_lookup_elem(&unwind, &key);
	__u64 *words = h->piece;

	if (!row)
		return false;
	end = (row->by_rbp ? c->reg[1] : c->sp) + row->bytes;
	if (!read_user(words, 8 * UNWIND_WORDS, end - 8 * UNWIND_WORDS))
		return false;
	c->ip = words[UNWIND_WORDS - 1];
	c->sp = end;
#pragma unroll
	for (int i = 0; i < IN_REGISTERS; i++) {
		__u32 below = row->word[i] & (UNWIND_WORDS - 1);

		if (!row->word[i])
			continue;
		c->reg[i] = word_at(words, UNWIND_WORDS, 8 * (UNWIND_WORDS - below));
		if (sp)
			h->at[i] = stack_place(sp, end - 8 * below);
	}
	return true;
}

/*
 * 5.1 stores the pc of a running function only before instructions that may raise an error, and
 * creating a table or a closure is none: L->savedpc is then that of an earlier line. The true one
 * is in a callee-saved register of luaV_execute, so undo the few frames above the allocator until
 * a register points into the function's code. 5.2 and 5.3 count in the CallInfo itself.
 */
SUBPROG int find_pc_51(struct hit *h, const struct lmt_layout *lay, __u32 slot)
{
	struct caller *c;
	__u64 proto, code;
	__u32 n = 0;

	if (!h || !lay || !read_user(&proto, 8, h->closure + (__u32)lay->LCL_p.off) ||
	    !read_user(&code, 8, proto + (__u32)lay->P_code.off) ||
	    !read_user(&n, 4, proto + (__u32)lay->P_sizecode.off))
		return TOP_FOUND;
	h->frame = h->caller;
	c = &h->frame;
	for (int step = 0; step <= LMT_UNWIND_STEPS; step++) {
#pragma unroll
		for (int i = 0; i < IN_REGISTERS; i++) {
			if (c->reg[i] - code - 4 >= 4ull * n)
				continue;
			h->top.pc = c->reg[i];
			return TOP_FOUND;
		}
		if (!unwind_step(h, c, slot, 0))
			break;
	}
	return TOP_FOUND;
}

#define OP_NEWTABLE 19 /* 5.4 and 5.5; the pc is behind it, or behind the extra argument that follows it */
#define LARGE_FRAME 96 /* bytes */
#define FRAME_WORDS 32 /* of luaV_execute()'s frame, where compilers keep the pc that use no register for it */

/* Is it the pc of the function of h->code, which makes a table now? */
static __always_inline bool is_table_pc(const struct hit *h, __u64 pc)
{
	__u32 ins[2];

	return pc - h->code - 8 < 4ull * h->sizecode && !(pc & 3) &&
	       read_user(ins, sizeof(ins), pc - 8) &&
	       ((ins[0] & 0x7f) == OP_NEWTABLE || (ins[1] & 0x7f) == OP_NEWTABLE);
}

/* The same where a call more does not matter. */
SUBPROG int makes_table(const struct hit *h, __u64 pc)
{
	return h && is_table_pc(h, pc);
}

/* ret_at: the word of the stack that tells, where there are frames between, that they are there again. */
static __always_inline __u64 note_table_pc(struct lmt_state *st, const struct caller *c, bool between,
					   __u8 ret_at, __u8 at, __u64 pc)
{
	bool near = at != NOWHERE && (!between || ret_at != NOWHERE);

	st->pc_at = near ? at : 0;
	st->pc_ret_at = ret_at;
	st->pc_ret = near ? (__u32)c->ip : 0;
	return pc;
}

/* unwind_step() of h->outer, where a call more does not matter. */
SUBPROG int unwind_noting(struct hit *h, __u32 slot)
{
	return h && unwind_step(h, &h->outer, slot, h->caller.sp);
}

/* Which word of the frame h->frame it is; FRAME_WORDS: none. */
SUBPROG __u32 find_pc_in_frame(struct hit *h)
{
	__u64 word;
	__u32 i;

	if (!h)
		return FRAME_WORDS;
	for (i = 0; i < FRAME_WORDS; i++)
		if (read_user(&word, 8, h->frame.sp + 8 * i) && is_table_pc(h, word))
			break;
	return i;
}

/*
 * As find_pc_51(), and notes where it was: the frames between the allocator and OP_NEWTABLE are the
 * same each time. Where it is in no register it is in luaV_execute's own frame; small ones are others'
 * and may hold what was left there long ago. 0: not found; if it never was, this state is not asked
 * again.
 */
static __always_inline __u64 learn_table_pc(struct hit *h, const struct lmt_layout *lay,
					    struct lmt_state *st, __u32 slot)
{
	__u8 ret_at = NOWHERE;
	__u32 i;
	bool more = true;

	if (!read_user(&h->word, 8, h->top.func) ||
	    !read_user(&h->word, 8, h->word + (__u32)lay->LCL_p.off) ||
	    !read_user(&h->code, 8, h->word + (__u32)lay->P_code.off) ||
	    !read_user(&h->sizecode, 4, h->word + (__u32)lay->P_sizecode.off))
		return 0;
	for (i = 0; i < IN_REGISTERS; i++)
		h->at[i] = i;
	h->frame = h->caller;
	for (int step = 0; step <= LMT_UNWIND_STEPS && more; step++) {
		for (i = 0; i < IN_REGISTERS; i++)
			if (makes_table(h, h->frame.reg[i]))
				return note_table_pc(st, &h->frame, step > 0, ret_at, h->at[i],
						     h->frame.reg[i]);
		h->outer = h->frame;
		more = unwind_noting(h, slot);
		i = !more || h->outer.sp - h->frame.sp >= LARGE_FRAME ? find_pc_in_frame(h) : FRAME_WORDS;
		if (i < FRAME_WORDS && read_user(&h->word, 8, h->frame.sp + 8 * i))
			return note_table_pc(st, &h->frame, step > 0, ret_at,
					     stack_place(h->caller.sp, h->frame.sp + 8 * i), h->word);
		h->frame = h->outer;
		ret_at = stack_place(h->caller.sp, h->frame.sp - 8);
	}
	if (!st->pc_ret) /* else it was a table of another making: a debug hook's */
		st->pc_at = NOWHERE;
	return 0;
}

/* Where it was learned to be, if the stack looks as it did then. 0: it does not. */
static __always_inline __u64 learned_table_pc(const struct lmt_state *st, const struct caller *c)
{
	__u64 ret = c->ip, pc = 0;
	__u32 at = st->pc_at;

	if (!st->pc_ret ||
	    (st->pc_ret_at != NOWHERE && !read_user(&ret, 8, c->sp + 8ull * (st->pc_ret_at - IN_REGISTERS))) ||
	    (__u32)ret != st->pc_ret)
		return 0;
	if (at >= IN_REGISTERS)
		return read_user(&pc, 8, c->sp + 8ull * (at - IN_REGISTERS)) ? pc : 0;
	return place_get(c, at);
}

#define TAG_TABLE 5 /* LUA_TTABLE, as passed to the allocator */

/* Takes the pc of the table that is made now: what else is allocated before the next store is of its line. */
static __always_inline void set_table_pc(struct lmt_state *st, struct top *top, __u64 pc)
{
	__s64 ahead = (__s64)(pc - top->pc) >> 2;

	if (!pc)
		top->flags |= LMT_SITE_STALE;
	if (!pc || ahead != (__s16)ahead)
		pc = top->pc;
	st->table_saved = (__u32)top->pc;
	st->table_pc = pc == top->pc ? 0 : (__s16)ahead;
	top->pc = pc;
}

/*
 * 5.4 and later store the pc before what may raise an error, and making a table is not among it
 * (lvm.c: OP_NEWTABLE). What else is allocated before the next store, the table's parts, belongs to
 * the same line. TOP_LEARN: puc_learn() is to be called.
 */
static __always_inline int lagging_pc(struct hit *h)
{
	struct lmt_state *st = state_at(h->t.state);
	struct top *top = &h->top;
	__u64 pc;

	if (!st || (top->tag != TAG_TABLE && (__u32)top->pc != st->table_saved))
		return TOP_FOUND;
	if (st->pc_at == NOWHERE)
		top->flags |= LMT_SITE_STALE;
	if (top->tag != TAG_TABLE) {
		top->pc += 4ll * st->table_pc;
		return TOP_FOUND;
	}
	pc = learned_table_pc(st, &h->caller);
	if (!pc && st->pc_at != NOWHERE)
		return TOP_LEARN;
	set_table_pc(st, top, pc);
	return TOP_FOUND;
}

SUBPROG int puc_learn(struct hit *h, const struct lmt_layout *lay, __u32 slot)
{
	struct lmt_state *st = h ? state_at(h->t.state) : 0;

	if (!h || !lay || !st)
		return TOP_NONE;
	set_table_pc(st, &h->top, learn_table_pc(h, lay, st, slot));
	return TOP_FOUND;
}

/* While the stack itself moves (5.4.6+), its addresses are kept as offsets from its base. */
static __always_inline bool add_stack(__u64 L_stack, __u64 *func)
{
	__u64 stack;

	if (!read_user(&stack, 8, L_stack))
		return false;
	*func += stack;
	return true;
}

/*
 * The innermost Lua frame of the thread h->t; h->caller is asked where 5.1 and 5.4 have not stored the
 * pc: TOP_PC_51, TOP_LEARN.
 */
SUBPROG int puc_top(struct hit *h, const struct lmt_layout *lay, __u32 slot)
{
	const struct lmt_hot *hot;
	struct top *top;
	__u64 ci, base;
	__u32 size;

	if (!h || !lay || !h->t.L)
		return TOP_NONE;
	hot = &lay->hot;
	top = &h->top;
	size = hot->ci_bytes;
	ci = word_at(h->t.words, THREAD_WORDS, hot->L_ci);
	base = hot->is_51 ? word_at(h->t.words, THREAD_WORDS, hot->L_base_ci)
			  : h->t.L + hot->L_base_ci;
	if (size > sizeof(h->ciw))
		return TOP_NONE;
	for (int i = 0; i < LMT_TOP_FRAMES && ci && ci != base; i++) {
		if (!read_user(h->ciw, size, ci))
			return TOP_NONE;
		top->func = word_at(h->ciw, CI_WORDS, hot->ci_func);
		if (top->func < STACK_BYTES_MAX && !add_stack(h->t.L + hot->L_stack, &top->func))
			return TOP_NONE;
		if (hot->is_51 ? (h->closure = lua_closure_51(lay, top->func)) != 0
			       : (u32_at(h->ciw, CI_WORDS, hot->ci_status) & hot->lua_mask) ==
					 hot->lua_want) {
			top->pc = word_at(h->ciw, CI_WORDS, hot->ci_pc);
			top->flags = i ? LMT_SITE_BELOW : 0;
			if (i)
				return TOP_FOUND;
			if (hot->is_51)
				top->pc = word_at(h->t.words, THREAD_WORDS, hot->L_savedpc);
			return hot->is_51 ? TOP_PC_51 : hot->pc_lags ? lagging_pc(h) : TOP_FOUND;
		}
		ci = hot->is_51 ? ci - size : word_at(h->ciw, CI_WORDS, hot->ci_prev);
	}
	return TOP_NONE;
}

/* The prototype of the function in a stack slot; 0 when it cannot be read. */
static __always_inline __u64 puc_proto(const struct lmt_layout *lay, __u64 func)
{
	__u64 closure, proto = 0;

	if (read_user(&closure, 8, func))
		read_user(&proto, 8, closure + (__u32)lay->LCL_p.off);
	return proto;
}

#endif
