/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * alloc_leave: what is decided when an allocator returns, and the cookie that carries what its entry knew.
 * For alloc.bpf.c only.
 */
#ifndef LMT_ALLOC_LEAVE_BPF_H
#define LMT_ALLOC_LEAVE_BPF_H

#include "c_heap.bpf.h"
#include "call.bpf.h"
#include "filter.bpf.h"
#include "find_alloc.bpf.h"
#include "ledger.bpf.h"
#include "stack.bpf.h"
#include "state.bpf.h"
#include "thread.bpf.h"

/*
 * The cookie: bits 0-36 nsize, 37 the probe may nest, 38-39 kind (0: only that is to be ended),
 * 40-43 tag, 44-63 state told by ud. What it carries need not be asked for again on return: on
 * machines that guard each return instruction a helper call costs more than ten nanoseconds.
 */
enum { CALL_NEW = 1, CALL_REALLOC = 2, CALL_BIRTH = 3 };
#define COOKIE_NEST (1ull << 37)
#define COOKIE_SIZE_MASK (COOKIE_NEST - 1)
#define COOKIE_SIZE(c) ((c) & COOKIE_SIZE_MASK)
#define COOKIE_KIND(c) ((c) >> 38 & 3)
#define COOKIE_TAG(c) ((c) >> 40 & 15)
#define COOKIE_STATE(c) ((c) >> 44)

static __always_inline __u64 cookie_make(__u32 kind, __u64 nsize, __u64 tag, __u32 state)
{
	if (nsize > COOKIE_SIZE_MASK)
		nsize = COOKIE_SIZE_MASK; /* cannot succeed: 128 GiB */
	if (tag > LMT_TAG_OTHER)
		tag = LMT_TAG_OTHER;
	return nsize | (__u64)kind << 38 | tag << 40 | (__u64)state << 44;
}

static __always_inline void put_block(__u32 slot, struct lmt_state *st, __u64 ptr,
				      const struct lmt_block *v)
{
	int rc = ledger_put(LMT_KEY(slot, ptr), v);

	if (rc == LEDGER_NEW)
		return;
	if (rc == LEDGER_REPLACED) {
		count(LMT_STAT_REPLACED);
		st->flags |= LMT_STATE_BLIND;
		return;
	}
	count(LMT_STAT_MAP_FULL);
	add(&st->lost_blocks, 1);
	add(&st->lost_bytes, LMT_BLOCK_SIZE(v));
}

/*
 * Which state a call that returns belongs to, by locate(), or the process where that is not known.
 * NEEDS_LAYOUT: the caller is to be asked again, with h->layout.
 */
static __always_inline __u32 locate_return(struct hit *h, __u32 slot, __u32 state)
{
	__u32 found = locate(h, h->layout, slot, state);

	if (found == NEEDS_LAYOUT && !h->asked)
		return NEEDS_LAYOUT;
	if (found == NEEDS_LAYOUT)
		found = 0;
	if (c_heap && found)
		note_running(h, found);
	return found ? found : unattributed(slot);
}

/* What remains to be done for a call that returns, by the program itself: calls nest deep enough as it is. */
enum {
	LEAVE_DONE,
	LEAVE_AGAIN,   /* with h->layout */
	LEAVE_REFUSED, /* find_refused() */
};

/* A new block, or a refusal. */
SUBPROG int leave_new(struct hit *h, __u32 slot, __u64 cookie, __u32 state)
{
	__u32 tag = COOKIE_TAG(cookie);
	struct lmt_site *site = 0;
	struct lmt_state *st;

	if (!h)
		return 0;
	ledger_touch(LMT_KEY(slot, h->result));
	h->call = (struct call){ 0, 0, tag, COOKIE_SIZE(cookie) };
	/* A state's own block holds whatever was there before: nothing to be read from it yet. */
	h->top = (struct top){ .flags = LMT_SITE_NO_LUA, .tag = tag };
	if (COOKIE_KIND(cookie) != CALL_BIRTH)
		state = locate_return(h, slot, state);
	if (state == NEEDS_LAYOUT)
		return LEAVE_AGAIN;
	st = state_at(state);
	if (!st)
		return 0;
	if (!h->result) {
		add(&st->failures, 1);
		tell_call(LMT_CALL_REFUSED, slot, state, 0, 0, &h->call);
		h->block.state = state;
		return COOKIE_KIND(cookie) == CALL_BIRTH ? LEAVE_DONE : LEAVE_REFUSED;
	}
	if (refused_any)
		find_granted(slot, state, &h->call);
	h->block.size_tags = h->call.nsize | (__u64)tag << 48 | (__u64)(st->last_tag & 0xff) << 56;
	h->block.state = state;
	h->block.site = site_get(state, tag, &h->top, h->result, &site);
	h->block.born = born_now(st);
	st->last_tag = tag;
	add(&st->allocs, 1);
	add(&st->alloc_bytes, h->call.nsize);
	if (site) {
		h->block.site = with_stack(h, st, site, h->result, h->call.nsize);
		add(&site->allocs, 1);
		add(&site->alloc_bytes, h->call.nsize);
	}
	put_block(slot, st, h->result, &h->block);
	h->call.osize = 0;
	tell_call(LMT_CALL_ALLOC, slot, state, h->block.site, h->result, &h->call);
	return 0;
}

/* Growth belongs to the line that made the block grow; a shrunken block keeps its line. */
SUBPROG int realloc_done(struct hit *h, __u32 slot, __u32 state)
{
	struct lmt_site *site = 0;
	struct lmt_state *st;
	__u64 osize, nsize;
	bool grown;

	if (!h)
		return 0;
	h->block = h->old;
	osize = LMT_BLOCK_SIZE(&h->old);
	nsize = h->nsize;
	grown = nsize > osize;
	h->call = (struct call){ 0, h->ptr, osize, nsize };
	if (h->had_old)
		state = h->old.state;
	h->top.tag = 0;
	if (grown || !h->had_old)
		state = locate_return(h, slot, state);
	if (state == NEEDS_LAYOUT)
		return LEAVE_AGAIN;
	st = state_at(state);
	if (!st)
		return 0;
	if (!h->had_old) {
		h->block.size_tags = 0;
		h->block.born = born_now(st);
		add(&st->adopted_bytes, osize);
		add(&st->adopted_blocks, 1);
	}
	if (grown && refused_any)
		find_granted(slot, state, &h->call);
	h->block.state = state;
	if (grown || !h->had_old)
		h->block.site = site_get(state, LMT_BLOCK_TAG(&h->block), &h->top, h->result, &site);
	if (grown) {
		add(&st->alloc_bytes, nsize - osize);
		if (site) {
			h->block.site = with_stack(h, st, site, h->result, nsize);
			add(&site->alloc_bytes, nsize - osize);
			add(&site->reallocs, 1);
		}
	} else {
		add(&st->free_bytes, osize - nsize);
	}
	h->block.size_tags = (h->block.size_tags & ~LMT_SIZE_MASK) | (nsize & LMT_SIZE_MASK);
	add(&st->reallocs, 1);
	put_block(slot, st, h->result, &h->block);
	tell_call(LMT_CALL_REALLOC, slot, state, h->block.site, h->result, &h->call);
	return 0;
}

/* A refused realloc: the old block lives on, unchanged. */
SUBPROG int realloc_failed(struct hit *h, __u32 slot, __u32 state)
{
	struct lmt_state *st;

	if (!h)
		return 0;
	h->call = (struct call){ 0, h->ptr, LMT_BLOCK_SIZE(&h->old), h->nsize };
	h->top.tag = 0;
	state = locate_return(h, slot, h->had_old ? h->old.state : state);
	if (state == NEEDS_LAYOUT)
		return LEAVE_AGAIN;
	st = state_at(state);
	if (!st)
		return 0;
	add(&st->failures, 1);
	if (h->had_old)
		put_block(slot, st, h->ptr, &h->old);
	tell_call(LMT_CALL_REFUSED, slot, state, 0, 0, &h->call);
	h->block.state = state;
	return LEAVE_REFUSED;
}

/* The first block of a new state. */
static __always_inline int leave_birth(struct hit *h, __u32 slot, __u64 cookie, __u32 state)
{
	struct lmt_state *st;

	if (h->result)
		state = (__u32)state_born(slot, (__u32)h->nsize, h->result, h->ptr, h->birth_flags);
	st = state_at(state);
	if (st)
		st->runtime = (__u32)(h->nsize >> 32);
	return leave_new(h, slot, cookie, state ? state : process_state(slot));
}

static __always_inline int leave_kind(struct hit *h, __u32 slot, __u64 cookie)
{
	__u32 state = COOKIE_STATE(cookie);

	if (COOKIE_KIND(cookie) == CALL_NEW)
		return leave_new(h, slot, cookie, state);
	if (COOKIE_KIND(cookie) == CALL_BIRTH)
		return leave_birth(h, slot, cookie, state);
	return h->result ? realloc_done(h, slot, state) : realloc_failed(h, slot, state);
}

static __always_inline void leave(struct pt_regs *ctx, struct hit *h, __u32 slot, __u64 cookie)
{
	const struct lmt_probe *p;
	int left;

	if (!COOKIE_KIND(cookie))
		return;
	if (COOKIE_KIND(cookie) != CALL_NEW)
		h->realloc_sp = 0;
	if (ctx->ax >> 47) {
		count(LMT_STAT_UNALIGNED);
		return;
	}
	h->result = ctx->ax;
	h->layout = h->asked = h->t.foreign = 0;
	caller_at_return(ctx, &h->caller);
	left = leave_kind(h, slot, cookie);
	if (left == LEAVE_AGAIN) {
		p = current_probe(ctx);
		h->layout = p ? p->layout : 0;
		h->asked = 1;
		left = leave_kind(h, slot, cookie);
	}
	if (h->t.foreign)
		tell_foreign(h, slot, h->caller.ip);
	if (left == LEAVE_REFUSED)
		find_refused(h, h->block.state);
}

#endif
