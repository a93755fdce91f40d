/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * stack_luajit: whole stacks of LuaJIT, through coroutines to the thread that resumed them, and
 * below machine code. BPF only. For the frames themselves see walk_luajit.bpf.h.
 *
 * A Lua frame's pc is the link of the frame it called. Where C code was called in between without
 * a frame of its own (a finalizer, a hook), it is in the C frame of the interpreter that ran it:
 *
 *	L->cframe ─► C frame: L, saved pc, previous C frame of this thread (0: none) ─► …
 *
 * coroutine.resume and wrap enter the coroutine from the interpreter itself, so the C frame of
 * the thread that resumed lies right above the coroutine's first one.
 * (lj_frame.h: CFRAME_OFS_*; vm_x64.dasc, vm_x86.dasc: vm_resume; LuaJIT v2.1)
 */
#ifndef LMT_STACK_LUAJIT_BPF_H
#define LMT_STACK_LUAJIT_BPF_H

#include "stack_lua.bpf.h"

#define CFRAME_PREV 32
#define CFRAME_L_GC64 16
#define CFRAME_L_GC32 24
#define CFRAME_SIZE 80
#define FRAME_VARG 3
#define FRAME_TYPES_C (1u << 1 | 1u << 5) /* entered from C: FRAME_C, FRAME_CP */

/* Begins at the frame below `base`. */
static __always_inline void lj_walk_from(const struct lmt_hot *hot, struct walk *w, __u64 L,
					 __u64 base, __u64 cframe)
{
	w->L = L;
	w->at = base - 8;
	w->end = ref_at(w->words, THREAD_WORDS, hot->L_stack, hot->wide) + (hot->wide ? 8 : 0);
	w->cframe = cframe & ~7ull;
	w->pc = 0;
}

static __always_inline __u64 lj_cframe(const struct lmt_hot *hot, const struct walk *w)
{
	return word_at(w->words, THREAD_WORDS, hot->L_cframe);
}

SUBPROG int lj_walk_begin(const struct lmt_layout *lay, __u32 state, const struct top *top,
			  struct walk *w)
{
	__u64 L, jit_base;

	if (!lay || !top || !w)
		return 0;
	L = top->L;
	if (!lj_running(&lay->hot, w->g, &L, &jit_base) || !L ||
	    read_thread(&lay->hot, L, w->words) != w->g)
		return 0;
	if (jit_base) {
		walk_push(w, 0, LMT_FRAME_JIT, top->flags & LMT_SITE_JIT ? top->pc : 0);
		w->frame_flags = LMT_FRAME_BASE;
	} else {
		jit_base = word_at(w->words, THREAD_WORDS, lay->hot.L_base);
	}
	lj_walk_from(&lay->hot, w, L, jit_base, lj_cframe(&lay->hot, w));
	w->cframe_top = w->cframe;
	return 1;
}

/* The thread that resumed this one, where that was Lua code; 0 at the end. */
SUBPROG int lj_walk_resumer(const struct lmt_layout *lay, struct walk *w)
{
	__u64 cframe, L, base;
	const struct lmt_hot *hot;

	if (!lay || !w)
		return 0;
	hot = &lay->hot;
	cframe = w->cframe + CFRAME_SIZE;
	if (!try_word(&L, hot->wide, cframe + (hot->wide ? CFRAME_L_GC64 : CFRAME_L_GC32)) ||
	    L == w->L || read_thread(hot, L, w->words) != w->g ||
	    (lj_cframe(hot, w) & ~7ull) != cframe)
		return 0;
	base = word_at(w->words, THREAD_WORDS, hot->L_base);
	lj_walk_from(hot, w, L, base, cframe);
	w->frame_flags = LMT_FRAME_THREAD;
	return 1;
}

/* Appends the function's frame; false when it is no function. */
static __always_inline bool lj_walk_function(const struct lmt_layout *lay, struct walk *w, __u64 func)
{
	const struct lmt_hot *hot = &lay->hot;
	__u64 fn[FN_WORDS] = {}, f = 0, pc = w->pc;
	__u32 size = hot->fn_bytes;

	if (size > sizeof(fn) || !is_user_pointer(func & ~4ull) || !try_read(fn, size, func) ||
	    byte_at(fn, FN_WORDS, hot->fn_gct) != LUAJIT_TAG_FUNCTION)
		return false;
	if (byte_at(fn, FN_WORDS, hot->fn_ffid) > 1) {
		walk_push(w, func, LMT_FRAME_BUILT_IN, 0);
	} else if (byte_at(fn, FN_WORDS, hot->fn_ffid) == 1) {
		try_read(&f, 8, func + (__u32)lay->fnC_f.off);
		walk_push(w, f, LMT_FRAME_C, 0);
	} else {
		if (!pc && !(w->frame_flags & LMT_FRAME_BASE))
			try_word(&pc, hot->wide,
				  w->cframe + (hot->wide ? CFRAME_PC_GC64 : CFRAME_PC_GC32));
		walk_push(w, ref_at(fn, FN_WORDS, hot->fn_pc, hot->wide) - hot->size_proto,
			  LMT_FRAME_LUA, pc);
	}
	return true;
}

/* Crosses a call from C: the frames below run in the C frame before, unless this is the first. */
static __always_inline void lj_walk_cframe(struct walk *w)
{
	__u64 prev = 0;

	w->frame_flags |= LMT_FRAME_ENTERED;
	if (try_read(&prev, 8, w->cframe + CFRAME_PREV) && prev & ~7ull)
		w->cframe = prev & ~7ull;
}

/* One frame outwards; 0 at the end. */
SUBPROG int lj_walk_step(const struct lmt_layout *lay, struct walk *w)
{
	struct lj_frame frame;
	bool wide;

	if (!lay || !w)
		return 0;
	wide = lay->hot.wide;
	if (w->at <= w->end)
		return lj_walk_resumer(lay, w);
	if (!lj_read_frame(wide, w->at, &frame) || !lj_walk_function(lay, w, frame.func)) {
		w->ev.flags |= LMT_STACK_TRUNCATED;
		return 0;
	}
	if ((frame.link & 7) == FRAME_VARG) { /* a copy of the real frame, which lies below */
		w->at -= frame.link & ~7ull;
		if (!lj_read_frame(wide, w->at, &frame))
			return 0;
	}
	if (FRAME_TYPES_C & 1u << (frame.link & 7))
		lj_walk_cframe(w);
	if (!lj_step(wide, &w->at, frame.link, &w->pc))
		return 0;
	return !(w->ev.flags & LMT_STACK_TRUNCATED);
}

#endif
