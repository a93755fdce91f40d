/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * c_heap: malloc() and its kin, where C code calls them on behalf of a Lua function. On every call of the
 * process, hence only when asked for.
 *
 * Not counted is what Lua's own allocator takes (its program notes that it runs: lua_sp), and what is
 * taken while no C function of a state runs. Frees are matched wherever they come from. BPF only.
 */
#ifndef LMT_C_HEAP_BPF_H
#define LMT_C_HEAP_BPF_H

#include "filter.bpf.h"
#include "ledger.bpf.h"
#include "site.bpf.h"
#include "stack.bpf.h"
#include "state.bpf.h"
#include "thread.bpf.h"

#define SEARCH_WORDS 16  /* of the native stack, read at once */
#define SEARCH_PIECES 12
#define NEAR_STACK (1ull << 23) /* what points so near the stack is no thread */

struct words {
	__u64 w[SEARCH_WORDS];
};

/* The thread that one of the words is, of a state that we know. */
SUBPROG int thread_in_words(const struct words *words, __u64 sp, const struct lmt_layout *lay, __u32 slot,
			    struct thread *t)
{
	if (!words || !lay || !t)
		return 0;
	for (int i = 0; i < SEARCH_WORDS; i++) {
		__u64 word = words->w[i];

		if (!is_user_pointer(word) || word - sp + NEAR_STACK < 2 * NEAR_STACK)
			continue;
		t->state = try_place(lay, word, slot, 0, t);
		if (t->state && t->L)
			return 1;
	}
	return 0;
}

/*
 * The thread on whose behalf C code runs: it is an argument of each C function, so it is in a register or
 * on the native stack, the innermost one first.
 */
SUBPROG int find_running(const struct caller *c, const struct lmt_layout *lay, __u32 slot,
			 struct thread *t)
{
	struct words words = {};
	__u64 sp;

	if (!c || !lay || !t)
		return 0;
	for (int i = 0; i < 6; i++)
		words.w[i] = c->reg[i];
	if (thread_in_words(&words, c->sp, lay, slot, t))
		return 1;
	sp = c->sp;
	for (int i = 0; i < SEARCH_PIECES; i++, sp += sizeof(words)) {
		if (bpf_probe_read_user(&words, sizeof(words), (const void *)sp))
			return 0;
		if (thread_in_words(&words, sp, lay, slot, t))
			return 1;
	}
	return 0;
}

#define FAR_PIECES 64 /* of LMT_GG_WORDS words: 32 KiB */

/* Is the word on the native stack? Looks far: C functions have big buffers there. */
SUBPROG int stack_holds(__u64 sp, __u64 word)
{
	struct pending *pend = pending_get(false);
	int found = 0;

	if (!pend)
		return 0;
	for (int i = 0; i < FAR_PIECES && !found; i++, sp += sizeof(pend->gg)) {
		if (bpf_probe_read_user(pend->gg, sizeof(pend->gg), (const void *)sp))
			return 0;
		for (int k = 0; k < LMT_GG_WORDS; k++)
			found |= pend->gg[k] == word;
	}
	return found;
}

/* The Lua thread that this thread allocated for last. */
static __noinline int note_running(__u32 state, __u64 L)
{
	struct pending *pend = pending_get(true);

	if (pend) {
		pend->c_state = state;
		pend->c_L = L;
	}
	return 0;
}

/* That one, if it still runs. LuaJIT says itself which of its threads that is. */
SUBPROG int last_running(__u32 slot, struct thread *t)
{
	struct pending *pend = pending_get(false);
	const struct lmt_layout *lay;
	struct lmt_state *st;

	if (!pend || !t)
		return 0;
	t->state = pend->c_state;
	t->L = pend->c_L;
	st = state_at(t->state);
	lay = st ? layout_at(st->layout) : 0;
	if (!lay || st->slot != slot || st->flags & (LMT_STATE_DEAD | LMT_STATE_PROCESS))
		return 0;
	if (lay->hot.G_cur_L && !read_word(&t->L, lay->hot.wide, st->g + lay->hot.G_cur_L))
		return 0;
	return read_thread(&lay->hot, t->L, t->words) == st->g;
}

/* Does a C function run that this Lua thread has called, and from where? */
SUBPROG int c_top(struct thread *t, __u32 slot, const struct caller *caller, struct top *top)
{
	const struct lmt_layout *lay;
	struct lmt_state *st;

	if (!t || !caller || !top)
		return 0;
	st = state_at(t->state);
	lay = st ? layout_at(st->layout) : 0;
	if (!lay || !top_frame(lay, t, slot, caller, top) ||
	    !(top->flags & (LMT_SITE_BELOW | LMT_SITE_JIT)))
		return 0;
	if (top->flags & LMT_SITE_JIT && !top->pc)
		top->pc = caller->ip; /* compiled code calls C directly */
	top->by = (__u32)caller->ip;
	return 1;
}

/* 0: no C function of a state runs. */
static __noinline int c_taken(struct pt_regs *ctx, const struct lmt_probe *p, __u32 slot, __u64 ptr,
			      __u64 size)
{
	const struct lmt_layout *lay;
	struct lmt_site *site = 0;
	struct lmt_block v = {};
	struct caller caller;
	struct lmt_state *st;
	struct top top = {};
	struct thread t;

	t.L = 0;
	t.state = 0;
	t.foreign = 0;
	if (!p)
		return 0;
	lay = layout_at(p->layout);
	caller_at_return(ctx, &caller);
	if (!lay)
		return 0;
	if (!find_running(&caller, lay, slot, &t) || !c_top(&t, slot, &caller, &top)) {
		if (!last_running(slot, &t) || !c_top(&t, slot, &caller, &top) ||
		    !stack_holds(caller.sp, t.L))
			return 0;
	} else {
		note_running(t.state, t.L);
	}
	st = state_at(t.state);
	v.site = site_get(t.state, LMT_TAG_C, &top, 0, &site);
	if (!site || !st)
		return 0;
	if (!site->allocs)
		whole_stack_send(&caller, t.state, &top, v.site);
	site->reallocs = caller.ip;
	v.size_tags = (size & LMT_SIZE_MASK) | (__u64)LMT_TAG_C << 48;
	v.state = t.state;
	v.born = born_now(st);
	add(&st->c_takes, 1);
	add(&site->allocs, 1);
	add(&site->alloc_bytes, size);
	ledger_put(LMT_C_KEY(slot, ptr), &v);
	return 1;
}

/* Bytes asked for; *gone: what is given back by the call. */
static __always_inline __u64 c_size(const struct lmt_probe *p, const __u64 *arg, __u64 *gone)
{
	switch (p->args) {
	case LMT_C_MALLOC:
		return arg[0];
	case LMT_C_CALLOC:
		return arg[0] * arg[1];
	case LMT_C_REALLOC:
		*gone = arg[0];
		return arg[1];
	case LMT_C_REALLOCARRAY:
		*gone = arg[0];
		return arg[1] * arg[2];
	case LMT_C_ALIGNED:
		return arg[1];
	case LMT_C_POSIX_MEMALIGN:
		return arg[2];
	case LMT_C_FREE:
		*gone = arg[0];
	}
	return 0;
}

/* True when a return is wanted. */
static __always_inline bool c_enter(struct pt_regs *ctx)
{
	__u32 slot = current_slot();
	__u64 arg[3], gone = 0, size;
	const struct lmt_probe *p;
	struct lmt_block old;
	struct pending *pend;
	int had = 0;

	if (!slot || !c_heap)
		return false;
	p = current_probe(ctx);
	if (!p)
		return false;
	arg[0] = reg_get(ctx, p->reg_ud);
	arg[1] = reg_get(ctx, p->reg_ptr);
	arg[2] = reg_get(ctx, p->reg_osize);
	size = c_size(p, arg, &gone);
	if (gone)
		had = ledger_take(LMT_C_KEY(slot, gone), &old);
	if (!size)
		return false;
	pend = pending_get(true);
	/* Lua's allocator may jump to malloc() instead of calling it: the stack is the same then. */
	if (!pend || pend->lua_sp >= ctx->sp || pend->c_sp > ctx->sp + p->pushed + 8)
		return false;
	pend->c_sp = ctx->sp + p->pushed + 8;
	pend->c_size = size;
	pend->c_out = p->args == LMT_C_POSIX_MEMALIGN ? arg[0] : 0;
	pend->c_moved = had ? gone : 0;
	if (had)
		pend->c_old = old;
	return true;
}

/* A block that could not be moved, or was by code that no Lua function called: it stays what it was. */
static __noinline int c_keep(__u32 slot, struct pending *pend, __u64 ptr)
{
	if (!pend || !pend->c_moved)
		return 0;
	if (ptr)
		pend->c_old.size_tags = (pend->c_old.size_tags & ~LMT_SIZE_MASK) |
					(pend->c_size & LMT_SIZE_MASK);
	return ledger_put(LMT_C_KEY(slot, ptr ? ptr : pend->c_moved), &pend->c_old);
}

static __always_inline void c_leave(struct pt_regs *ctx)
{
	struct pending *pend = pending_get(false);
	__u32 slot = slot_again();
	__u64 ptr = ctx->ax;

	if (!slot || !pend || pend->c_sp != ctx->sp)
		return; /* of a call inside the one that is followed */
	pend->c_sp = 0;
	if (pend->c_out && (ptr || !read_user(&ptr, 8, pend->c_out)))
		return;
	if (ptr >> 47)
		return;
	if (!ptr || !c_taken(ctx, current_probe(ctx), slot, ptr, pend->c_size))
		c_keep(slot, pend, ptr);
}

#endif
