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

#define CI_WORDS 10 /* the largest CallInfo, 5.2.0, is 80 bytes */
#define TAG_FUNCTION 6
#define STACK_BYTES_MAX (32u << 20) /* LUAI_MAXSTACK values and some; no address lies so low */

/* The innermost Lua frame. */
struct top {
	__u64 pc;
	__u64 func;  /* PUC: stack slot of the function; LuaJIT: the function or its prototype */
	__u64 proto; /* known already; 0: read it through func when the site is new */
	__u32 flags; /* LMT_SITE_… */
	__u32 trace; /* LuaJIT, in machine code: its number */
	__u32 by;    /* tells places apart whose Lua code is the same; most often 0 */
	__u32 tag;   /* asked for: of the new block, 0 if it has none or is none */
	__u64 L;     /* PUC: the running thread; 0 unknown */
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

#define IN_REGISTERS 6
#define NOWHERE 255

/* Where the registers of a caller are, as lmt_state.pc_at tells it. */
struct places {
	__u8 reg[IN_REGISTERS];
};

/* How lmt_state.pc_at tells a place on the stack. */
static __always_inline __u8 stack_place(__u64 sp, __u64 place)
{
	__u64 n = (place - sp) / 8;

	return n < NOWHERE - IN_REGISTERS ? (__u8)(IN_REGISTERS + n) : NOWHERE;
}

/*
 * Undoes the frame the caller returns into; false at a return address without a row. at: where the
 * registers are, counted from sp; NULL: nobody asks.
 */
static __always_inline bool unwind_step(struct caller *c, __u32 slot, __u64 sp, __u8 *at)
{
	__u64 key = LMT_KEY(slot, c->ip), words[UNWIND_WORDS], end;
	struct lmt_unwind *row = bpf_map_lookup_elem(&unwind, &key);

	if (!row)
		return false;
	end = (row->by_rbp ? c->reg[1] : c->sp) + row->bytes;
	if (!read_user(words, sizeof(words), end - sizeof(words)))
		return false;
	c->ip = words[UNWIND_WORDS - 1];
	c->sp = end;
#pragma unroll
	for (int i = 0; i < 6; i++) {
		__u32 below = 8 * (row->word[i] & (UNWIND_WORDS - 1));

		if (!row->word[i])
			continue;
		c->reg[i] = word_at(words, UNWIND_WORDS, sizeof(words) - below);
		if (at)
			at[i] = stack_place(sp, end - below);
	}
	return true;
}

/*
 * 5.1 stores the pc of a running function only before instructions that may raise an error, and
 * creating a table or a closure is none: L->savedpc is then that of an earlier line. The true one
 * is in a callee-saved register of luaV_execute, so undo the few frames above the allocator until
 * a register points into the function's code. 5.2 and 5.3 count in the CallInfo itself.
 */
SUBPROG __u64 find_pc_51(const struct lmt_layout *lay, __u64 closure, __u64 saved, __u32 slot,
			 const struct caller *from)
{
	__u64 proto, code;
	struct caller c;
	__u32 n = 0;

	if (!lay || !from || !read_user(&proto, 8, closure + (__u32)lay->LCL_p.off) ||
	    !read_user(&code, 8, proto + (__u32)lay->P_code.off) ||
	    !read_user(&n, 4, proto + (__u32)lay->P_sizecode.off))
		return saved;
	c = *from;
	for (int step = 0; step <= LMT_UNWIND_STEPS; step++) {
#pragma unroll
		for (int i = 0; i < 6; i++)
			if (c.reg[i] - code - 4 < 4ull * n)
				return c.reg[i];
		if (!unwind_step(&c, slot, 0, 0))
			break;
	}
	return saved;
}

#define OP_NEWTABLE 19 /* 5.4 and 5.5; the pc is behind it, or behind the extra argument that follows it */
#define LARGE_FRAME 96 /* bytes */
#define FRAME_WORDS 32 /* of luaV_execute()'s frame, where compilers keep the pc that use no register for it */

/* Is it the pc of a function that makes a table now? */
SUBPROG int makes_table(__u64 pc, __u64 code, __u32 n)
{
	__u32 ins[2];

	return pc - code - 8 < 4ull * n && !(pc & 3) && read_user(ins, sizeof(ins), pc - 8) &&
	       ((ins[0] & 0x7f) == OP_NEWTABLE || (ins[1] & 0x7f) == OP_NEWTABLE);
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

/* unwind_step(), where a call more does not matter. */
SUBPROG int unwind_noting(struct caller *c, __u32 slot, __u64 sp, struct places *at)
{
	return c && at && unwind_step(c, slot, sp, at->reg);
}

/* Which word of the frame it is; FRAME_WORDS: none. */
SUBPROG __u32 find_pc_in_frame(__u64 sp, __u64 code, __u32 n)
{
	__u64 word;
	__u32 i;

	for (i = 0; i < FRAME_WORDS; i++)
		if (read_user(&word, 8, sp + 8 * i) && makes_table(word, code, n))
			break;
	return i;
}

/*
 * As find_pc_51(), and notes where it was: the frames between the allocator and OP_NEWTABLE are the
 * same each time. Where it is in no register it is in luaV_execute's own frame; small ones are others'
 * and may hold what was left there long ago. 0: not found; if it never was, this state is not asked
 * again.
 */
SUBPROG __u64 learn_table_pc(const struct lmt_layout *lay, __u64 func, __u32 slot,
			     const struct caller *from, __u32 state)
{
	__u64 closure, proto, code, word;
	struct lmt_state *st = state_at(state);
	struct caller c, next;
	struct places at = { { 0, 1, 2, 3, 4, 5 } };
	__u8 ret_at = NOWHERE;
	__u32 n = 0, i;
	bool more = true;

	if (!lay || !from || !st || !read_user(&closure, 8, func) ||
	    !read_user(&proto, 8, closure + (__u32)lay->LCL_p.off) ||
	    !read_user(&code, 8, proto + (__u32)lay->P_code.off) ||
	    !read_user(&n, 4, proto + (__u32)lay->P_sizecode.off))
		return 0;
	c = *from;
	for (int step = 0; step <= LMT_UNWIND_STEPS && more; step++) {
#pragma unroll
		for (int r = 0; r < IN_REGISTERS; r++) {
			__u32 here = at.reg[r];

			asm volatile("" : "+r"(here)); /* read by now: clang would compute a pointer */
			if (makes_table(c.reg[r], code, n))
				return note_table_pc(st, &c, step > 0, ret_at, (__u8)here, c.reg[r]);
		}
		next = c;
		more = unwind_noting(&next, slot, from->sp, &at);
		i = !more || next.sp - c.sp >= LARGE_FRAME ? find_pc_in_frame(c.sp, code, n) : FRAME_WORDS;
		if (i < FRAME_WORDS && read_user(&word, 8, c.sp + 8 * i))
			return note_table_pc(st, &c, step > 0, ret_at, stack_place(from->sp, c.sp + 8 * i),
					     word);
		c = next;
		ret_at = stack_place(from->sp, c.sp - 8);
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
#pragma unroll
	for (__u32 i = 0; i < IN_REGISTERS; i++)
		if (at == i)
			pc = c->reg[i];
	return pc;
}

#define TAG_TABLE 5 /* LUA_TTABLE, as passed to the allocator */

/*
 * 5.4 and later store the pc before what may raise an error, and making a table is not among it
 * (lvm.c: OP_NEWTABLE). What else is allocated before the next store, the table's parts, belongs to
 * the same line.
 */
static __always_inline __u64 lagging_pc(const struct lmt_layout *lay, const struct thread *t, __u32 slot,
					const struct caller *caller, struct top *top)
{
	struct lmt_state *st = state_at(t->state);
	__u64 pc;
	__s64 ahead;

	if (!st)
		return top->pc;
	if (top->tag != TAG_TABLE && (__u32)top->pc != st->table_saved)
		return top->pc;
	if (st->pc_at == NOWHERE)
		top->flags |= LMT_SITE_STALE;
	if (top->tag != TAG_TABLE)
		return top->pc + 4ll * st->table_pc;
	pc = learned_table_pc(st, caller);
	if (!pc && st->pc_at != NOWHERE)
		pc = learn_table_pc(lay, top->func, slot, caller, t->state);
	if (!pc)
		top->flags |= LMT_SITE_STALE;
	ahead = (__s64)(pc - top->pc) >> 2;
	if (!pc || ahead != (__s16)ahead)
		pc = top->pc;
	st->table_saved = (__u32)top->pc;
	st->table_pc = pc == top->pc ? 0 : (__s16)ahead;
	return pc;
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

/* caller: of the allocator, to look for 5.1's pc; NULL: be content with what is stored. */
static __always_inline bool puc_top(const struct lmt_layout *lay, const struct thread *t, __u32 slot,
				    const struct caller *caller, struct top *top)
{
	const struct lmt_hot *hot = &lay->hot;
	__u64 ci = word_at(t->words, THREAD_WORDS, hot->L_ci), ciw[CI_WORDS] = {}, base, closure = 0;
	__u32 size = hot->ci_bytes;

	base = hot->is_51 ? word_at(t->words, THREAD_WORDS, hot->L_base_ci) : t->L + hot->L_base_ci;
	if (size > sizeof(ciw))
		return false;
	for (int i = 0; i < LMT_TOP_FRAMES && ci && ci != base; i++) {
		if (!read_user(ciw, size, ci))
			return false;
		top->func = word_at(ciw, CI_WORDS, hot->ci_func);
		if (top->func < STACK_BYTES_MAX && !add_stack(t->L + hot->L_stack, &top->func))
			return false;
		if (hot->is_51 ? (closure = lua_closure_51(lay, top->func)) != 0
			       : (u32_at(ciw, CI_WORDS, hot->ci_status) & hot->lua_mask) ==
					 hot->lua_want) {
			top->pc = word_at(ciw, CI_WORDS, hot->ci_pc);
			if (hot->is_51 && i == 0)
				top->pc = find_pc_51(lay, closure,
						     word_at(t->words, THREAD_WORDS, hot->L_savedpc),
						     slot, caller);
			top->flags = i ? LMT_SITE_BELOW : 0;
			if (hot->pc_lags && i == 0)
				top->pc = lagging_pc(lay, t, slot, caller, top);
			return true;
		}
		ci = hot->is_51 ? ci - size : word_at(ciw, CI_WORDS, hot->ci_prev);
	}
	return false;
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
