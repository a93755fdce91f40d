/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * stack_lua: whole stacks of PUC Lua, through coroutines to the thread that resumed them.
 * BPF only.
 *
 * A coroutine does not know who resumed it. But the running thread is the last of a chain that
 * begins at the main thread, in which each runs a C function that has the next as its first
 * argument (coroutine.resume) or first upvalue (coroutine.wrap). Where a host resumes from C
 * there is no such chain, and the stack ends at the coroutine's base.
 */
#ifndef LMT_STACK_LUA_BPF_H
#define LMT_STACK_LUA_BPF_H

#include "site.bpf.h"

#define PUC_TAG_MASK 0x3f
#define PUC_TAG_THREAD 8

/* Appends a frame; one too many marks the stack as truncated instead. */
static __always_inline void walk_push(struct walk *w, __u64 at, __u32 flags, __u64 pc)
{
	__u32 i = w->ev.n;

	if (i >= LMT_STACK_FRAMES || i >= config.stack_depth) {
		w->ev.flags |= LMT_STACK_TRUNCATED;
		return;
	}
	flags |= w->frame_flags;
	w->frame_flags = 0;
	at = (at & LMT_ADDR_MASK) | (__u64)flags << 48;
	w->ev.frame[i].at = at;
	w->ev.frame[i].pc = pc;
	w->ev.n = i + 1;
	at = (w->hash ^ at) * 0x9E3779B97F4A7C15ull;
	at = (at ^ at >> 32 ^ pc) * 0xD6E8FEB86659FD93ull;
	w->hash = at ^ at >> 29;
}

/* Begins with a thread's innermost frame; false when it cannot be read. */
static __always_inline bool puc_walk_thread(const struct lmt_layout *lay, struct walk *w, __u64 L)
{
	const struct lmt_hot *hot = &lay->hot;

	if (read_thread(hot, L, w->words) != w->g)
		return false;
	w->L = L;
	w->at = word_at(w->words, THREAD_WORDS, hot->L_ci);
	w->end = hot->is_51 ? word_at(w->words, THREAD_WORDS, hot->L_base_ci) : L + hot->L_base_ci;
	return true;
}

/* The thread that the innermost function of L, a C function, has resumed; 0 none. */
SUBPROG __u64 puc_resumed(const struct lmt_layout *lay, struct walk *w, __u64 L)
{
	__u64 func, slot[4], up[2] = {};

	if (!lay || !w || read_thread(&lay->hot, L, w->words) != w->g ||
	    !try_read(&func, 8, word_at(w->words, THREAD_WORDS, lay->hot.L_ci) + lay->hot.ci_func) ||
	    !try_read(slot, sizeof(slot), func))
		return 0;
	if (((__u32)slot[1] & PUC_TAG_MASK) == (__u32)lay->tag_ccl.off &&
	    try_read(up, sizeof(up), slot[0] + (__u32)lay->CCL_upvalue.off) &&
	    ((__u32)up[1] & PUC_TAG_MASK) == PUC_TAG_THREAD &&
	    read_thread(&lay->hot, up[0], w->words) == w->g)
		return up[0];
	return ((__u32)slot[3] & PUC_TAG_MASK) == PUC_TAG_THREAD ? slot[2] : 0;
}

/* Finds the threads between the main one and the running one; none when they are not connected. */
static __always_inline void puc_find_chain(const struct lmt_layout *lay, struct walk *w, __u64 main,
					   __u64 L)
{
	for (__u32 i = 0; i < WALK_THREADS && main && main != L; i++) {
		w->chain[i] = main;
		main = puc_resumed(lay, w, main);
		if (main == L)
			w->n_chain = i + 1;
	}
}

SUBPROG int puc_walk_begin(const struct lmt_layout *lay, __u64 main, const struct top *top,
			   struct walk *w)
{
	if (!lay || !top || !w || !top->L)
		return 0;
	puc_find_chain(lay, w, main, top->L);
	w->pc = top->flags & (LMT_SITE_BELOW | LMT_SITE_NO_LUA) ? 0 : top->pc;
	return puc_walk_thread(lay, w, top->L);
}

/* Goes on in the thread that resumed the one whose frames are done; 0 at the end. */
SUBPROG int puc_walk_resumer(const struct lmt_layout *lay, struct walk *w)
{
	__u32 i;

	if (!lay || !w)
		return 0;
	i = w->n_chain - 1;
	if (i >= WALK_THREADS)
		return 0;
	w->n_chain = i;
	w->frame_flags = LMT_FRAME_THREAD;
	return puc_walk_thread(lay, w, w->chain[i]);
}

/* What the CallInfo says of the call: LMT_FRAME_TAIL, LMT_FRAME_HOOKED. */
static __always_inline __u32 call_flags(const struct lmt_layout *lay, const __u64 *ciw)
{
	const struct lmt_hot *hot = &lay->hot;
	__u32 status = u32_at(ciw, CI_WORDS, hot->ci_status), flags;

	if (hot->is_51)
		return u32_at(ciw, CI_WORDS, (__u32)lay->ci_tailcalls.off) ? LMT_FRAME_TAIL : 0;
	if (hot->ci_status_bytes < 4)
		status &= (1u << 8 * (hot->ci_status_bytes & 3)) - 1;
	flags = status & (__u32)lay->K_CIST_TAIL.off ? LMT_FRAME_TAIL : 0;
	return flags | (status & (__u32)lay->K_CIST_HOOKED.off ? LMT_FRAME_HOOKED : 0);
}

/* A C function: light ones are a value, others a closure. */
static __always_inline __u64 c_function(const struct lmt_layout *lay, const __u64 *slot)
{
	__u64 f = 0;

	if (((__u32)slot[1] & PUC_TAG_MASK) == (__u32)lay->tag_lcf.off)
		return slot[0];
	try_read(&f, 8, slot[0] + (__u32)lay->CCL_f.off);
	return f;
}

/* One frame outwards; 0 at the end. */
SUBPROG int puc_walk_step(const struct lmt_layout *lay, struct walk *w)
{
	__u64 *ciw, slot[2], proto = 0, pc;
	const struct lmt_hot *hot;
	__u32 size, flags;
	bool lua;

	if (!lay || !w)
		return 0;
	ciw = w->ciw;
	hot = &lay->hot;
	size = hot->ci_bytes;
	if (!w->at || w->at == w->end)
		return puc_walk_resumer(lay, w);
	if (size > sizeof(w->ciw) || !try_read(ciw, size, w->at) ||
	    !try_read(slot, sizeof(slot), word_at(ciw, CI_WORDS, hot->ci_func))) {
		w->ev.flags |= LMT_STACK_TRUNCATED;
		return 0;
	}
	lua = hot->is_51 ? lua_closure_51(lay, word_at(ciw, CI_WORDS, hot->ci_func)) != 0
			 : (u32_at(ciw, CI_WORDS, hot->ci_status) & hot->lua_mask) == hot->lua_want;
	flags = call_flags(lay, ciw);
	if (lua) {
		pc = w->pc ? w->pc : word_at(ciw, CI_WORDS, hot->ci_pc);
		try_read(&proto, 8, slot[0] + (__u32)lay->LCL_p.off);
		walk_push(w, proto, LMT_FRAME_LUA | flags, pc);
	} else {
		walk_push(w, c_function(lay, slot), LMT_FRAME_C | flags, 0);
	}
	w->pc = 0;
	w->at = hot->is_51 ? w->at - size : word_at(ciw, CI_WORDS, hot->ci_prev);
	return !(w->ev.flags & LMT_STACK_TRUNCATED);
}

#endif
