/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * site: names the place an allocation comes from. The only code that touches `sites`. BPF only.
 */
#ifndef LMT_SITE_BPF_H
#define LMT_SITE_BPF_H

#include "walk_luajit.bpf.h"

static __always_inline __u64 mix(__u64 h, __u64 v)
{
	h = (h ^ v) * 0x9E3779B97F4A7C15ull;
	return h ^ h >> 32;
}

/* Fills a fresh entry; its key is already ours. */
static __always_inline void site_fill(struct lmt_site *s, __u32 state, __u32 tag,
				      const struct top *top)
{
	s->proto = top->proto;
	s->pc = top->pc;
	s->state = state;
	s->trace = top->trace;
	s->tag = tag;
	s->flags = top->flags;
	s->born_ns = bpf_ktime_get_ns();
}

/* Index of the site, made if need be; 0 when the table is full. */
SUBPROG __u32 site_get(__u32 slot, __u32 state, __u32 tag, const struct top *top)
{
	__u64 key;
	__u32 i;

	if (!top)
		return 0;
	key = mix(mix(mix(tag + 1, (__u64)state << 32 | top->trace), top->proto),
		  top->pc + top->flags);
	key = key ? key : 1;
	i = (__u32)key;
	for (int step = 0; step < LMT_SITE_STEPS; step++, i++) {
		__u32 at = i & config.site_mask;
		struct lmt_site *s = at ? bpf_map_lookup_elem(&sites, &at) : 0;

		if (!s)
			continue; /* 0 is "no site" */
		if (s->key == key)
			return at;
		if (s->key || __sync_val_compare_and_swap(&s->key, 0, key))
			continue;
		site_fill(s, state, tag, top);
		emit(LMT_EV_SITE, slot, state, at, 0);
		return at;
	}
	count(LMT_STAT_SITE_FULL);
	return 0;
}

static __always_inline void site_add(__u32 i, __u64 blocks_added, __u64 bytes)
{
	struct lmt_site *s = i ? bpf_map_lookup_elem(&sites, &i) : 0;

	if (!s)
		return;
	if (blocks_added)
		__sync_fetch_and_add(&s->allocs, blocks_added);
	__sync_fetch_and_add(&s->alloc_bytes, bytes);
}

/* The innermost Lua frame of the thread, or LMT_SITE_NO_LUA. */
SUBPROG int top_frame(const struct lmt_layout *lay, __u64 g, struct thread *t, struct top *top)
{
	__u64 jit_base = 0;
	bool found;

	if (!lay || !t || !top)
		return 0;
	if (lay->family == LMT_FAMILY_PUC)
		found = t->L && puc_top(lay, t, top);
	else
		found = lj_running(lay, g, t, &jit_base) && lj_top(lay, g, t, jit_base, top);
	if (!found)
		*top = (struct top){ .flags = LMT_SITE_NO_LUA };
	return found;
}

#endif
