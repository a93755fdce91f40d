/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * site: names the site an allocation comes from. The only code that touches `sites`. BPF only.
 */
#ifndef LMT_SITE_BPF_H
#define LMT_SITE_BPF_H

#include "copy.bpf.h"
#include "walk_luajit.bpf.h"

/* The innermost Lua frame of the thread h->t into h->top, or LMT_SITE_NO_LUA. */
static __always_inline bool top_frame(struct hit *h, const struct lmt_layout *lay, __u32 slot)
{
	int found;

	if (lay->hot.family == LMT_FAMILY_PUC) {
		found = puc_top(h, lay, slot);
		if (found == TOP_LEARN)
			found = puc_learn(h, lay, slot);
		else if (found == TOP_PC_51)
			found = find_pc_51(h, lay, slot);
	} else {
		found = lj_top(h, lay);
		if (found == TOP_PARTS)
			found = lj_top_by_parts(h, lay);
		if (found == TOP_TRACE)
			found = lj_learn_trace(h, lay);
	}
	if (found != TOP_FOUND)
		h->top = (struct top){ .flags = LMT_SITE_NO_LUA };
	h->top.L = h->t.L;
	return found == TOP_FOUND;
}

/*
 * Memory without a type that C code took on behalf of a Lua function: what stays behind when a state
 * is closed is mostly that, and then its line is asked for when nobody can read it any more.
 */
static __always_inline bool may_outlive(__u32 tag, const struct top *top)
{
	return !tag && top->flags & LMT_SITE_BELOW && !(top->flags & LMT_SITE_JIT);
}

/* Fills a fresh entry, whose key is already ours, and tells user space to look the line up; 0: site_near(). */
SUBPROG int site_fill(__u32 at, __u32 state, __u32 tag, const struct top *top, __u64 block)
{
	struct lmt_site *s = bpf_map_lookup_elem(&sites, &at);
	struct lmt_state *st = state_at(state);
	const struct lmt_layout *lay;

	if (!s || !st || !top)
		return 1;
	lay = layout_at(st->layout);
	s->pc = top->pc;
	s->proto = top->proto;
	if (lay && top->pc && !top->proto)
		s->proto = lay->hot.family == LMT_FAMILY_PUC ? puc_proto(lay, top->func)
							     : lj_base_proto(lay, top->func);
	s->state = state;
	s->tag = tag;
	s->flags = top->flags;
	if (top->pc && top->flags & LMT_SITE_JIT)
		return 0;
	if (LMT_TAG_IS_PLACE(tag) || may_outlive(tag, top))
		copy_place(lay, st->slot, at, s->proto, LMT_SITE_PC(s));
	emit(LMT_EV_SITE, st->slot, state, at, block);
	return 1;
}

/* The rest of site_fill() for a site in machine code: by itself, since calls nest deep there. */
SUBPROG int site_near(__u32 at, __u32 trace, __u64 block)
{
	struct lmt_site *s = bpf_map_lookup_elem(&sites, &at);
	struct lmt_state *st = s ? state_at(s->state) : 0;
	const struct lmt_layout *lay = st ? layout_at(st->layout) : 0;
	__u64 proto, near, tr;

	if (!s || !st)
		return 0;
	proto = s->proto;
	tr = lay ? lj_trace_at(lay, s->state, trace) : 0;
	near = tr ? lj_near_pc(lay, tr, s->pc, &proto) : 0;
	s->proto = proto;
	s->near = near ? (__u32)(near - proto) : 0;
	if (LMT_TAG_IS_PLACE(s->tag))
		copy_place(lay, st->slot, at, s->proto, LMT_SITE_PC(s));
	emit(LMT_EV_SITE, st->slot, s->state, at, block);
	return 0;
}

static __always_inline void site_made(__u32 at, __u32 state, __u32 tag, const struct top *top, __u64 block)
{
	if (!site_fill(at, state, tag, top, block))
		site_near(at, top->trace, block);
}

static __always_inline __u64 site_key(__u32 state, __u32 tag, const struct top *top)
{
	__u64 h = (top->pc ^ (__u64)tag << 48 ^ (__u64)top->flags << 56) * 0x9E3779B97F4A7C15ull;

	h = (h ^ h >> 32 ^ state ^ (__u64)top->by << 32) * 0xD6E8FEB86659FD93ull;
	h ^= h >> 32;
	return h ? h : 1;
}

/* Index of the site, made if need be; 0 when the table is full. */
static __always_inline __u32 site_get(__u32 state, __u32 tag, const struct top *top, __u64 block,
				      struct lmt_site **site)
{
	__u64 key = site_key(state, tag, top);
	__u32 i = (__u32)key;

	for (int step = 0; step < LMT_SITE_STEPS; step++, i++) {
		__u32 at = i & config.site_mask;
		struct lmt_site *s = at ? bpf_map_lookup_elem(&sites, &at) : 0;

		if (!s)
			continue; /* 0 is "no site" */
		if (s->key != key) {
			if (s->key || __sync_val_compare_and_swap(&s->key, 0, key))
				continue;
			site_made(at, state, tag, top, block);
		} else if (!s->proto && s->pc && !(s->flags & LMT_SITE_JIT) &&
			   s->retries < LMT_SITE_RETRIES) {
			s->retries++;
			site_made(at, state, tag, top, block);
		}
		*site = s;
		return at;
	}
	count(LMT_STAT_SITE_FULL);
	return 0;
}

#endif
