/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * stack: whole Lua stacks of allocations picked by byte sampling. BPF only.
 *
 * A state counts down the bytes to its next sample, drawn from an exponential distribution of
 * mean R = config.sample_bytes. That has no memory, so every allocation is taken with probability
 * p = 1 - exp(-size/R) whatever came before, and counting each sampled one 1/p times makes sums
 * over any set of stacks unbiased. A block that is reallocated is weighed by its whole new size,
 * so that p can be told from the block at any later time.
 *
 * The countdown costs the allocation path one comparison in a cache line it has written anyway.
 */
#ifndef LMT_STACK_BPF_H
#define LMT_STACK_BPF_H

#include "ledger.bpf.h"
#include "stack_luajit.bpf.h"
#include "stack_native.bpf.h"

#define LN2_Q16 45426u
#define P_ONE (1ull << 32)
#define P_CERTAIN 22 /* times R: exp(-22) is below 2^-31 */

/*
 * -log2(r / 2^32) in 65536ths, by repeated squaring. Without branches: the verifier would follow
 * each of 2^21 ways through it.
 */
static __always_inline __u64 neg_log2(__u32 r)
{
	__u64 x, bit, result = 1;
	__u32 zeros;

	r |= 1;
#pragma unroll
	for (int s = 16; s; s >>= 1) {
		zeros = s * is_zero(r >> (32 - s));
		r <<= zeros;
		result += zeros;
	}
	x = r; /* 1 <= x < 2, with 31 bits behind the point */
	result <<= 16;
#pragma unroll
	for (int i = 15; i >= 0; i--) {
		x = x * x >> 31;
		bit = x >> 32;
		NO_BRANCH(bit);
		x >>= bit & 1;
		result -= bit << i;
	}
	return result;
}

/* Bytes to the next sample; at least 1. */
SUBPROG __u32 sample_draw(void)
{
	__u64 bytes = (neg_log2(bpf_get_prandom_u32()) * LN2_Q16 >> 16) * config.sample_bytes >> 16;

	return bytes > 0xfffffffe ? 0xffffffff : (__u32)bytes + 1;
}

/* The countdown has run out, or was never drawn. */
SUBPROG int sample_reached(__u32 state, __u64 bytes)
{
	struct lmt_state *st = state_at(state);

	if (!st)
		return 0;
	if (!st->sample_left) {
		st->sample_left = sample_draw();
		if (bytes < st->sample_left) {
			st->sample_left -= bytes;
			return 0;
		}
	}
	st->sample_left = sample_draw();
	return 1;
}

/* Is the stack of this allocation wanted? */
static __always_inline bool sample_due(__u32 state, struct lmt_state *st, __u64 bytes)
{
	if (!config.sample_bytes)
		return false;
	if (bytes < st->sample_left) {
		st->sample_left -= (__u32)bytes;
		return false;
	}
	return sample_reached(state, bytes);
}

/* 1 - exp(-size/R), with 32 bits behind the point. */
static __always_inline __u64 sample_chance(__u64 size)
{
	__u64 r = config.sample_bytes, x, e;
	int halved = 0;

	if (r <= 1 || size / r >= P_CERTAIN)
		return P_ONE;
	x = (size << 32) / r;
	for (; halved < 10 && x >> 28; halved++)
		x >>= 1;
	/* x < 1/16: four terms are exact to 2^-27 of the result. */
	e = x - (x * x >> 33) + ((x * x >> 32) * x >> 32) / 6 -
	    ((x * x >> 32) * (x * x >> 32) >> 32) / 24;
	if (!halved)
		return e ? e : 1;
	e = P_ONE - e;
	for (int i = 0; i < 10 && i < halved; i++)
		e = e * e >> 32;
	return P_ONE - e;
}

/* Counts a sampled allocation for its stack. */
SUBPROG int stack_count(struct lmt_site *s, __u64 size)
{
	__u64 p, weight, bytes, rest, square;

	if (!s)
		return 0;
	p = sample_chance(size);
	weight = (1ull << 48) / p;
	bytes = size >> 32 ? size : size * weight >> 16;
	rest = (P_ONE - p) >> 16;
	square = bytes * bytes;
	add(&s->allocs, weight);
	add(&s->alloc_bytes, bytes);
	add(&s->samples, 1);
	if (rest && !(bytes >> 32))
		add(&s->variance, square >> 46 ? (square >> 16) * rest : square * rest >> 16);
	return 0;
}

#define YOUNG 1 /* GC cycles that end before the first collection's sweep frees a block */

/* A sampled block was freed: by its owner, or by the first collection that came by? */
SUBPROG int stack_freed(__u32 at, __u64 size, __u32 cycles)
{
	struct lmt_site *s = bpf_map_lookup_elem(&sites, &at);

	if (!s || cycles > YOUNG || !(s->flags & LMT_SITE_STACK) || size >> 32)
		return 0;
	add(&s->temporary, size * ((1ull << 48) / sample_chance(size)) >> 16);
	return 1;
}

#define STEPS_AT_ONCE 9 /* verified one by one */

/* Some frames further; 0 at the end. */
SUBPROG int walk_steps(const struct lmt_layout *lay, struct walk *w)
{
	if (!lay || !w)
		return 0;
	for (int i = 0; i < STEPS_AT_ONCE; i++)
		if (!(lay->hot.family == LMT_FAMILY_PUC ? puc_walk_step(lay, w) : lj_walk_step(lay, w)))
			return 0;
	return 1;
}

/* Ready to gather the stack of the running thread. */
SUBPROG int walk_begin(const struct lmt_layout *lay, __u32 state, const struct top *top,
		       struct walk *w)
{
	struct lmt_state *st = state_at(state);

	if (!st || !top || !w)
		return 0;
	w->ev.n = w->ev.flags = 0;
	w->frame_flags = 0;
	w->n_chain = 0;
	w->hash = 0;
	w->cframe_top = 0;
	w->native[0] = 0;
	w->g = st->g;
	if (!lay || (!top->L && top->flags & LMT_SITE_NO_LUA))
		return 0;
	return lay->hot.family == LMT_FAMILY_PUC ? puc_walk_begin(lay, st->main, top, w)
						 : lj_walk_begin(lay, state, top, w);
}

/* Gathers it; number of frames. */
static __always_inline __u32 walk_stack(const struct lmt_layout *lay, __u32 state,
					const struct top *top, struct walk *w)
{
	bool more = walk_begin(lay, state, top, w);

	for (int i = 0; i < LMT_STACK_FRAMES + WALK_THREADS && more; i += STEPS_AT_ONCE)
		more = walk_steps(lay, w);
	return w->ev.n;
}

/* Sends the stack gathered to user space; false when the ring is full. */
static __always_inline bool stack_send(struct walk *w, __u32 state, __u32 site, __u64 block)
{
	struct lmt_state *st = state_at(state);
	__u32 n;

	if (!st)
		return false;
	event_begin(&w->ev.e, LMT_EV_STACK, st->slot, state);
	w->ev.e.arg0 = site;
	w->ev.e.arg1 = block;
	if (w->native[0])
		native_send(w);
	n = w->ev.n;
	NO_RANGE(n);
	if (n > LMT_STACK_FRAMES)
		n = LMT_STACK_FRAMES;
	return !bpf_ringbuf_output(&ring, &w->ev,
				   __builtin_offsetof(struct lmt_stack_event, frame) +
					   n * sizeof(struct lmt_frame), 0);
}

/* Fills a fresh entry, whose key is already ours. */
SUBPROG int stack_fill(__u32 at, __u32 parent, __u64 block)
{
	struct walk *w = thread_storage(&walks, 0);
	struct lmt_site *s = bpf_map_lookup_elem(&sites, &at);
	struct lmt_site *p = bpf_map_lookup_elem(&sites, &parent);

	if (!w || !s || !p)
		return 0;
	s->state = p->state;
	s->tag = p->tag;
	s->flags = p->flags | LMT_SITE_STACK;
	s->parent = parent;
	if (stack_send(w, p->state, at, block))
		return 1;
	s->key = 0; /* the next sample with this stack tries again */
	return 0;
}

/* The entry of the gathered stack at a place; the place itself when there is no room for one. */
SUBPROG __u32 stack_get(__u32 parent, __u64 hash, __u64 size, __u64 block)
{
	__u64 key = (hash ^ parent) * 0x9E3779B97F4A7C15ull | 1;
	__u32 i = (__u32)(key >> 32);

	for (int step = 0; step < LMT_SITE_STEPS; step++, i++) {
		__u32 at = config.first_stack + (i & config.stack_mask);
		struct lmt_site *s = bpf_map_lookup_elem(&sites, &at);

		if (!s)
			break;
		if (s->key != key) {
			if (s->key || __sync_val_compare_and_swap(&s->key, 0, key))
				continue;
			if (!stack_fill(at, parent, block))
				break;
		}
		stack_count(s, size);
		return at;
	}
	count(LMT_STAT_STACK_LOST);
	return parent;
}

/*
 * The stack of an allocation at a site: index of its entry, for the block. The first allocation
 * of each site is looked at too, as an example: not by chance, so it counts for nothing. size: 0
 * then.
 */
SUBPROG __u32 stack_sample(struct hit *h, __u32 parent, __u64 block, __u64 size)
{
	struct lmt_site *p = bpf_map_lookup_elem(&sites, &parent);
	struct lmt_state *st = p ? state_at(p->state) : 0;
	const struct lmt_layout *lay = st ? layout_at(st->layout) : 0;
	struct walk *w;

	if (!h || !st || (!config.native && (!lay || (!h->top.L && h->top.flags & LMT_SITE_NO_LUA))))
		return parent;
	w = walk_get();
	if (!w || (!walk_stack(lay, p->state, &h->top, w) && !config.native))
		return parent;
	if (config.native)
		native_take(&h->caller, w);
	if (size)
		return stack_get(parent, w->hash, size, block);
	stack_send(w, p->state, parent, block);
	return parent;
}

/* What the new block h->block is charged to: its site, or the stack there when it is sampled. */
static __always_inline __u32 with_stack(struct hit *h, struct lmt_state *st,
					const struct lmt_site *site, __u64 block, __u64 size)
{
	bool due = sample_due(h->block.state, st, size);

	return due || (!site->alloc_bytes && config.sample_bytes)
		       ? stack_sample(h, h->block.site, block, due ? size : 0)
		       : h->block.site;
}

/* The whole stack of the running thread, Lua's and C's, sent for a site. */
static __always_inline int whole_stack_send(struct hit *h, __u32 state, __u32 site)
{
	struct lmt_state *st = state_at(state);
	struct walk *w;

	if (!st)
		return 0;
	w = walk_get();
	if (w) {
		walk_stack(layout_at(st->layout), state, &h->top, w);
		native_take(&h->caller, w);
		if (stack_send(w, state, site, 0))
			return 1;
	}
	count(LMT_STAT_STACK_LOST);
	return 0;
}

#endif
