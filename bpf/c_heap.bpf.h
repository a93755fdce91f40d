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

/* The thread that one of the words in h->piece is, of a state that we know: into h->t. */
SUBPROG int thread_in_words(struct hit *h, __u64 sp, const struct lmt_layout *lay, __u32 slot)
{
	if (!h || !lay)
		return 0;
	for (int i = 0; i < SEARCH_WORDS; i++) {
		__u64 word = h->piece[i];

		if (!is_user_pointer(word) || word - sp + NEAR_STACK < 2 * NEAR_STACK)
			continue;
		h->t.state = try_place(lay, word, slot, 0, &h->t);
		if (h->t.state && h->t.L)
			return 1;
	}
	return 0;
}

/*
 * The thread on whose behalf C code runs: it is an argument of each C function, so it is in a register or
 * on the native stack, the innermost one first.
 */
SUBPROG int find_running(struct hit *h, const struct lmt_layout *lay, __u32 slot)
{
	__u64 sp;

	if (!h || !lay)
		return 0;
	for (int i = 0; i < SEARCH_WORDS; i++)
		h->piece[i] = i < IN_REGISTERS ? h->caller.reg[i] : 0;
	sp = h->caller.sp;
	if (thread_in_words(h, sp, lay, slot))
		return 1;
	for (int i = 0; i < SEARCH_PIECES; i++, sp += 8 * SEARCH_WORDS) {
		if (bpf_probe_read_user(h->piece, 8 * SEARCH_WORDS, (const void *)sp))
			return 0;
		if (thread_in_words(h, sp, lay, slot))
			return 1;
	}
	return 0;
}

#define FAR_PIECES 64 /* of LMT_GG_WORDS words: 32 KiB */

/* Is the word on the native stack? Looks far: C functions have big buffers there. */
SUBPROG int stack_holds(struct hit *h, __u64 sp, __u64 word)
{
	int found = 0;

	if (!h)
		return 0;
	for (int i = 0; i < FAR_PIECES && !found; i++, sp += sizeof(h->gg)) {
		if (bpf_probe_read_user(h->gg, sizeof(h->gg), (const void *)sp))
			return 0;
		for (int k = 0; k < LMT_GG_WORDS; k++)
			found |= h->gg[k] == word;
	}
	return found;
}

/* The Lua thread that this thread allocated for last. */
static __always_inline void note_running(struct hit *h, __u32 state)
{
	h->c_state = state;
	h->c_L = h->top.L;
}

/* That one into h->t, if it still runs. LuaJIT says itself which of its threads that is. */
SUBPROG int last_running(struct hit *h, __u32 slot)
{
	const struct lmt_layout *lay;
	struct lmt_state *st;
	__u64 L;

	if (!h)
		return 0;
	h->t.state = h->c_state;
	L = h->c_L;
	st = state_at(h->t.state);
	lay = st ? layout_at(st->layout) : 0;
	if (!lay || st->slot != slot || st->flags & (LMT_STATE_DEAD | LMT_STATE_PROCESS))
		return 0;
	if (lay->hot.G_cur_L && !read_word(&L, lay->hot.wide, st->g + lay->hot.G_cur_L))
		return 0;
	h->t.L = L;
	return read_thread(&lay->hot, L, h->t.words) == st->g;
}

/* Does a C function run that the Lua thread h->t has called, and from where? */
SUBPROG int c_top(struct hit *h, __u32 slot)
{
	const struct lmt_layout *lay;
	struct lmt_state *st;

	if (!h)
		return 0;
	st = state_at(h->t.state);
	lay = st ? layout_at(st->layout) : 0;
	if (!lay || !top_frame(h, lay, slot) || !(h->top.flags & (LMT_SITE_BELOW | LMT_SITE_JIT)))
		return 0;
	if (h->top.flags & LMT_SITE_JIT && !h->top.pc)
		h->top.pc = h->caller.ip; /* compiled code calls C directly */
	h->top.by = (__u32)h->caller.ip;
	return 1;
}

/* Which C function of a state runs: h->t, h->top; 0: none does. */
SUBPROG int c_running(struct hit *h, __u32 layout, __u32 slot)
{
	const struct lmt_layout *lay = layout_at(layout);

	if (!h || !lay)
		return 0;
	h->t.L = 0;
	h->t.state = h->t.foreign = 0;
	h->top = (struct top){};
	if (find_running(h, lay, slot) && c_top(h, slot)) {
		h->c_state = h->t.state;
		h->c_L = h->t.L;
		return 1;
	}
	return last_running(h, slot) && c_top(h, slot) && stack_holds(h, h->caller.sp, h->t.L);
}

/* Memory that h->caller was given on behalf of a Lua function; 0: no C function of a state runs. */
SUBPROG int c_taken(struct hit *h, __u32 layout, __u32 slot, __u64 ptr, __u64 size)
{
	struct lmt_site *site = 0;
	struct lmt_state *st;

	if (!h || !c_running(h, layout, slot))
		return 0;
	st = state_at(h->t.state);
	h->block.site = site_get(h->t.state, LMT_TAG_C, &h->top, 0, &site);
	if (!site || !st)
		return 0;
	if (!site->allocs)
		whole_stack_send(h, h->t.state, h->block.site);
	site->reallocs = h->caller.ip;
	h->block.size_tags = (size & LMT_SIZE_MASK) | (__u64)LMT_TAG_C << 48;
	h->block.state = h->t.state;
	h->block.born = born_now(st);
	add(&st->c_takes, 1);
	add(&site->allocs, 1);
	add(&site->alloc_bytes, size);
	ledger_put(LMT_C_KEY(slot, ptr), &h->block);
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
	struct hit *h;
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
	h = hit_get(true);
	/* Lua's allocator may jump to malloc() instead of calling it: the stack is the same then. */
	if (!h || h->lua_sp >= ctx->sp || h->c_sp > ctx->sp + p->pushed + 8)
		return false;
	h->c_sp = ctx->sp + p->pushed + 8;
	h->c_size = size;
	h->c_out = p->args == LMT_C_POSIX_MEMALIGN ? arg[0] : 0;
	h->c_moved = had ? gone : 0;
	if (had)
		h->c_old = old;
	return true;
}

/* A block that could not be moved, or was by code that no Lua function called: it stays what it was. */
SUBPROG int c_keep(struct hit *h, __u32 slot, __u64 ptr)
{
	if (!h || !h->c_moved)
		return 0;
	if (ptr)
		h->c_old.size_tags = (h->c_old.size_tags & ~LMT_SIZE_MASK) | (h->c_size & LMT_SIZE_MASK);
	return ledger_put(LMT_C_KEY(slot, ptr ? ptr : h->c_moved), &h->c_old);
}

static __always_inline void c_leave(struct pt_regs *ctx)
{
	struct hit *h = hit_get(false);
	__u32 slot = slot_again();
	const struct lmt_probe *p;
	__u64 ptr = ctx->ax;

	if (!slot || !h || h->c_sp != ctx->sp)
		return; /* of a call inside the one that is followed */
	h->c_sp = 0;
	if (h->c_out && (ptr || !read_user(&ptr, 8, h->c_out)))
		return;
	p = current_probe(ctx);
	if (ptr >> 47 || !p)
		return;
	caller_at_return(ctx, &h->caller);
	if (!ptr || !c_taken(h, p->layout, slot, ptr, h->c_size))
		c_keep(h, slot, ptr);
}

#endif
