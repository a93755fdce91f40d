/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * walk_luajit: frames of LuaJIT, from the innermost outwards, GC64 and GC32. BPF only.
 *
 *	        GC64: two slots a frame          GC32: one slot
 *	base ─► │ first local      │             │ first local      │
 *	base-8  │ link             │             │ link   function  │ (high, low half)
 *	base-16 │ function         │
 *
 *	link & 3 == 0  called from Lua: link is the caller's pc; its A operand (bits 8-15 of the
 *	               instruction before) tells how far down the caller's frame lies
 *	otherwise      link & 7 is the frame type, the rest the distance in bytes
 *
 * In machine code L->base is stale; frames from jit_base downwards are valid, and the place in
 * the trace is told by the return address into it, which lies just below the C frame.
 * Sources: facts/STATES.md §3.3, §3.4; LuaJIT src/lj_frame.h, src/lj_trace.c (v2.1).
 */
#ifndef LMT_WALK_LUAJIT_BPF_H
#define LMT_WALK_LUAJIT_BPF_H

#include "walk_lua.bpf.h"

#define FN_WORDS 5
#define GC64_POINTER ((1ull << 47) - 1)
#define LUAJIT_TAG_FUNCTION 8
#define FRAME_CONT 2
#define CFRAME_PC_GC64 24 /* saved pc of the interpreter in its C frame, x86-64 */
#define CFRAME_PC_GC32 28
#define MCODE_CHUNK 8     /* words of the native stack read at once… */
#define MCODE_CHUNKS 6    /* …and how often, searching the return address into a trace */

struct lj_frame {
	__u64 func;
	__u64 link;
};

static __always_inline bool lj_read_frame(bool gc64, __u64 f, struct lj_frame *out)
{
	__u64 w[2];

	if (gc64) {
		if (!read_user(w, 16, f - 8))
			return false;
		out->func = w[0] & GC64_POINTER;
		out->link = w[1];
		return true;
	}
	if (!read_user(w, 8, f))
		return false;
	out->func = (__u32)w[0];
	out->link = w[0] >> 32;
	return true;
}

/* Prototype of a Lua function; 0 for C and built-in ones; ~0 when it is no function at all. */
static __always_inline __u64 lj_proto_of(const struct lmt_layout *lay, bool gc64, __u64 func)
{
	__u32 size = (__u32)lay->fn_pc.off + lay->fn_pc.size;
	__u64 fn[FN_WORDS] = {};
	struct lmt_cell gct = { .off = gc64 ? 9 : 5, .size = 1 };

	if (size > sizeof(fn) || !is_user_pointer(func & ~4ull) || !read_user(fn, size, func))
		return ~0ull;
	if (member(fn, FN_WORDS, gct) != LUAJIT_TAG_FUNCTION)
		return ~0ull;
	if (member(fn, FN_WORDS, lay->fn_ffid) != 0)
		return 0;
	return member(fn, FN_WORDS, lay->fn_pc) - (__u32)lay->size_proto.off;
}

/*
 * The return address into the machine code of the running trace, found below the C frame; 0 when
 * the trace is not known (the VM is inside the GC) or nothing points into it.
 */
SUBPROG __u64 lj_mcode_return(const struct lmt_layout *lay, __u64 g, __u32 trace,
					__u64 cframe)
{
	__u64 J, refs, tr, mcode, size, w[MCODE_CHUNK];
	bool gc64;

	if (!lay || !trace || lay->GG_J.off == LMT_OFF_NONE)
		return 0;
	gc64 = lay->gc64.off;
	J = g + (__u64)(__s64)(lay->GG_J.off - lay->GG_G.off);
	if (!read_user(&refs, 8, J + (__u32)lay->J_trace.off) ||
	    !read_word(&tr, gc64, refs + (gc64 ? 8ull : 4ull) * trace) ||
	    !read_user(&mcode, 8, tr + (__u32)lay->tr_mcode.off) ||
	    !read_word(&size, false, tr + (__u32)lay->tr_szmcode.off))
		return 0;
	for (int chunk = 0; chunk < MCODE_CHUNKS; chunk++) {
		cframe -= sizeof(w);
		if (!read_user(w, sizeof(w), cframe))
			return 0;
#pragma unroll
		for (int i = MCODE_CHUNK - 1; i >= 0; i--)
			if (w[i] - mcode - 1 < size)
				return w[i];
	}
	return 0;
}

/* Finds the place inside a trace. base: jit_base. */
static __always_inline bool lj_jit_top(const struct lmt_layout *lay, __u64 g, __u64 base,
				       __u64 cframe, struct top *top)
{
	__u32 vmstate = 0;
	struct lj_frame frame;
	__u64 proto;

	read_user(&vmstate, 4, g + (__u32)lay->G_vmstate.off);
	if ((__s32)vmstate > 0)
		top->trace = vmstate;
	top->flags = LMT_SITE_JIT;
	top->pc = lj_mcode_return(lay, g, top->trace, cframe);
	if (lj_read_frame(lay->gc64.off, base - 8, &frame)) {
		proto = lj_proto_of(lay, lay->gc64.off, frame.func);
		top->proto = proto == ~0ull ? 0 : proto;
	}
	return top->proto || top->pc;
}

/* One frame down. Gives the pc of the frame below where the link tells it, else 0. */
static __always_inline bool lj_step(const struct lmt_layout *lay, __u64 *f, __u64 link, __u64 *pc)
{
	bool gc64 = lay->gc64.off;
	__u64 w = 0;
	__u32 ins;

	*pc = 0;
	if ((link & 3) == 0) {
		if (!read_user(&ins, 4, link - 4))
			return false;
		*pc = link;
		*f -= 8ull * (1 + (__u32)lay->fr2.off + (ins >> 8 & 0xff));
		return true;
	}
	if ((link & 7) == FRAME_CONT) {
		if (!read_user(&w, 8, *f - (gc64 ? 16 : 8)))
			return false;
		*pc = gc64 ? w : w >> 32;
	}
	*f -= link & ~7ull;
	return true;
}

/* g: global_State. t->words must hold L, the running thread. */
static __always_inline bool lj_top(const struct lmt_layout *lay, __u64 g, const struct thread *t,
				   __u64 jit_base, struct top *top)
{
	__u64 base = member(t->words, THREAD_WORDS, lay->L_base), pc, f, proto;
	__u64 cframe = member(t->words, THREAD_WORDS, lay->L_cframe) & ~7ull;
	__u64 stack = member(t->words, THREAD_WORDS, lay->L_stack);
	bool gc64 = lay->gc64.off;
	struct lj_frame frame;

	if (jit_base)
		return lj_jit_top(lay, g, jit_base, cframe, top);
	f = base - 8;
	pc = 0;
	for (int i = 0; i < LMT_TOP_FRAMES && f > stack + (gc64 ? 8 : 0); i++) {
		if (!lj_read_frame(gc64, f, &frame))
			return false;
		proto = lj_proto_of(lay, gc64, frame.func);
		if (proto == ~0ull)
			return false;
		if (proto) {
			top->proto = proto;
			top->flags = i ? LMT_SITE_BELOW : 0;
			if (i == 0)
				read_word(&pc, gc64, cframe + (gc64 ? CFRAME_PC_GC64 : CFRAME_PC_GC32));
			top->pc = pc;
			return true;
		}
		if (!lj_step(lay, &f, frame.link, &pc))
			return false;
	}
	return false;
}

/* The running thread of a LuaJIT 2.1 state, and jit_base. */
static __always_inline bool lj_running(const struct lmt_layout *lay, __u64 g, struct thread *t,
				       __u64 *jit_base)
{
	bool gc64 = lay->gc64.off;

	if (!read_word(jit_base, gc64, g + (__u32)lay->G_jit_base.off))
		return false;
	if (t->L)
		return true;
	return lay->G_cur_L.off != LMT_OFF_NONE &&
	       read_word(&t->L, gc64, g + (__u32)lay->G_cur_L.off) && read_thread(lay, t->L, t);
}

#endif
