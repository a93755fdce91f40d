/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * find_alloc: faults that show in the calls of an allocator. Each function is called only when
 * what the allocation path has in hand anyway does not fit. For alloc.bpf.c only.
 */
#ifndef LMT_FIND_ALLOC_BPF_H
#define LMT_FIND_ALLOC_BPF_H

#include "find_oom.bpf.h"
#include "find_stack.bpf.h"
#include "ledger.bpf.h"

/* osize contradicts what the block was allocated with. */
static __noinline int find_size_mismatch(struct pt_regs *ctx, const struct lmt_probe *p, __u32 slot,
					 const struct call *c, const struct lmt_block *old)
{
	struct caller caller;
	struct top top = {};
	struct lmt_finding *f;
	__u64 place;

	if (!p || !c || !old)
		return 0;
	caller_at_entry(ctx, &caller);
	place = find_place(&caller, p->layout, slot, old->state, &top);
	find_stack(&caller, (__u32)(place >> 32), &top, LMT_TAG_FINDING);
	tell_site(old->site);
	f = find_open(LMT_FIND_SIZE, slot, old->state, caller.ip ^ place << 48);
	if (!f)
		return 0;
	fill_call(f, c, caller.ip);
	f->block = *old;
	f->site = (__u32)place;
	find_send(f);
	return 0;
}

/*
 * LuaJIT's allocator keeps a word before each block: its size, and whether it and the chunk before
 * it are in use (lj_alloc.c: PINUSE_BIT 1, CINUSE_BIT 2; a direct mapping has neither neighbour
 * nor bit 1, and bit 0 set in the word before).
 */
#define CHUNK_PREV_IN_USE 1
#define CHUNK_IN_USE 2
#define CHUNK_MAX (1ull << 44)
#define CHUNK_ROUND 48 /* header, alignment, a rest too small to be a chunk of its own */

static __noinline int find_bad_chunk(struct pt_regs *ctx, const struct lmt_probe *p, __u32 slot,
				     const struct call *c, const struct lmt_block *old)
{
	__u64 w[2], size, place, behind = 0, bad;
	struct caller caller;
	struct top top = {};
	struct lmt_finding *f;
	__u32 what;

	if (!p || !c || !old || !read_user(w, 16, c->ptr - 16))
		return 0;
	if (!(w[1] & 1) && w[0] & 1)
		return 0; /* mapped on its own */
	size = w[1] & ~7ull;
	bad = w[1];
	what = size < c->osize + 8 || size > c->osize + CHUNK_ROUND ? LMT_FIND_CORRUPT_CHUNK
	       : !(w[1] & CHUNK_IN_USE) ? LMT_FIND_CHUNK_FREE : 0;
	if (!what) { /* the next one must know that this is in use, and have a possible size */
		if (!read_user(&behind, 8, c->ptr + size - 8) ||
		    (behind & CHUNK_PREV_IN_USE && behind < CHUNK_MAX))
			return 0;
		what = LMT_FIND_CORRUPT_CHUNK;
		bad = behind;
	}
	caller_at_entry(ctx, &caller);
	place = find_place(&caller, p->layout, slot, old->state, &top);
	find_stack(&caller, (__u32)(place >> 32), &top, LMT_TAG_FINDING);
	tell_site(old->site);
	f = find_open(what, slot, old->state, bad == behind);
	if (!f)
		return 0;
	fill_call(f, c, caller.ip);
	f->arg[0] = bad;
	f->arg[1] = bad == behind;
	if (what == LMT_FIND_CHUNK_FREE)
		freed_where(LMT_KEY(slot, c->ptr), &f->arg[LMT_FIRST_FREE_SITE], &f->arg[LMT_FIRST_FREE_GC]);
	f->block = *old;
	f->site = (__u32)place;
	find_send(f);
	return 0;
}

/* Looks for the place of a free, unless that was done for too many in this millisecond. */
static __noinline int find_free_place(struct pt_regs *ctx, const struct lmt_probe *p, __u32 state,
				      struct free_place *to)
{
	struct pending *pend = pending_get(false);
	struct lmt_state *st = state_at(state);
	const struct lmt_layout *lay = st ? layout_at(st->layout) : 0;
	struct caller caller;
	struct top top = {};
	__u8 gc = 0;

	if (!p || !to || !pend || !lay)
		return 0;
	caller_at_entry(ctx, &caller);
	*to = (struct free_place){ .sp = ctx->sp, .ms = now_ms, .state = state, .by = (__u32)caller.ip };
	if (pend->free_ms != now_ms)
		pend->free_made = 0;
	pend->free_ms = now_ms;
	if (pend->free_made++ >= FREE_PLACES)
		return 0;
	if (locate(&caller, p->layout, st->slot, state, &top) != state)
		return 0;
	top.by = (__u32)caller.ip;
	to->site = find_stack(&caller, state, &top, LMT_TAG_FREE);
	if (read_user(&gc, 1, st->g + (__u32)lay->G_gcstate.off))
		to->gc_state = gc + 1u;
	return 1;
}

/*
 * Notes where a block is freed, at little cost: a sweep frees many from one place, told by the same caller
 * and stack pointer in the same millisecond.
 */
static __noinline int note_free(struct pt_regs *ctx, const struct lmt_probe *p, __u32 slot, __u64 ptr,
				__u32 state)
{
	struct lmt_free_note *note = free_note_at(LMT_KEY(slot, ptr));
	struct pending *pend = pending_get(true);
	struct free_place *place;
	__u64 by = 0;

	if (!p || !note || !pend || !read_user(&by, 8, ctx->sp))
		return 0;
	place = &pend->free_places[(ctx->sp >> 3 ^ by) & (FREE_PLACES - 1)];
	if (place->sp != ctx->sp || place->by != (__u32)by || place->ms != now_ms || place->state != state)
		find_free_place(ctx, p, state, place);
	note->key = LMT_KEY(slot, ptr);
	note->site = place->site;
	note->gc_state = place->gc_state;
	return 0;
}

/* Freed or moved, but not in the ledger. state 0: to be found. */
static __noinline int find_in_unknown(struct pt_regs *ctx, const struct lmt_probe *p, __u32 slot,
				      const struct call *c, __u32 state)
{
	struct lmt_block freed = {};
	struct caller caller;
	struct top top = {};
	struct lmt_finding *f;
	struct lmt_state *st;
	__u32 what = 0, range;
	__u64 place;

	if (!p || !c || !c->ptr)
		return 0;
	range = (__u32)find_range(slot, c->ptr);
	if (range)
		what = LMT_FIND_STATIC_FREE;
	else if (ledger_covers(LMT_KEY(slot, c->ptr), 1, &freed) == PLACE_FREED &&
		 freed.born == LMT_FREED(LMT_KEY(slot, c->ptr)))
		what = LMT_FIND_DOUBLE_FREE;
	st = state_at(state);
	if (gaps && what != LMT_FIND_STATIC_FREE)
		return 0;
	if (!what && st && st->born_ns && !st->lost_blocks && st->block != c->ptr)
		what = LMT_FIND_FOREIGN_FREE;
	if (!what)
		return 0;
	caller_at_entry(ctx, &caller);
	place = find_place(&caller, p->layout, slot, state, &top);
	state = (__u32)(place >> 32);
	find_stack(&caller, state, &top, LMT_TAG_FINDING);
	tell_site(freed.site);
	f = find_open(what, slot, state, range ? range : caller.ip); /* not by address: arenas have many */
	if (!f)
		return 0;
	fill_call(f, c, caller.ip);
	f->arg[0] = what == LMT_FIND_STATIC_FREE
		? range - 1 : ((__u32)now_ms - LMT_FREED_MS(&freed)) & LMT_FREED_MS_MASK;
	if (what == LMT_FIND_DOUBLE_FREE)
		freed_where(LMT_KEY(slot, c->ptr), &f->arg[LMT_FIRST_FREE_SITE], &f->arg[LMT_FIRST_FREE_GC]);
	f->block = freed;
	f->site = (__u32)place;
	find_send(f);
	return 0;
}

static __noinline int find_refused(struct pt_regs *ctx, __u32 state, const struct top *top,
				   const struct call *c)
{
	struct lmt_state *st = state_at(state);
	struct caller caller;

	if (!st || !c || !top)
		return 0;
	caller_at_return(ctx, &caller);
	find_stack(&caller, state, top, LMT_TAG_FINDING);
	return note_refused(st->slot, state, ctx->ip, top, c);
}

#endif
