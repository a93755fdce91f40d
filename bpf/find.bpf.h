/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * find: tells user space what may be a fault. Rare paths only: nothing here runs while the target
 * does what it should. BPF only.
 */
#ifndef LMT_FIND_BPF_H
#define LMT_FIND_BPF_H

#include "find.h"
#include "site.bpf.h"

/* How often the same was noticed. Written by BPF; the least used is forgotten when it is full. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, __u64);
} find_counts __weak SEC(".maps");

/* Written by BPF. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LMT_FREE_NOTES);
	__type(key, __u32);
	__type(value, struct lmt_free_note);
} free_notes __weak SEC(".maps");

/* Address ranges of each process's modules. Written by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, LMT_SLOT_MAX);
	__type(key, __u32); /* slot */
	__type(value, struct lmt_ranges);
} ranges __weak SEC(".maps");

/* What goes through the ring only is in no map: these make clang describe it (tests/bpf/t_abi.c). */
struct lmt_finding *describe_finding __weak = 0;
struct lmt_memory *describe_memory __weak = 0;
struct lmt_label *describe_label __weak = 0;

static __always_inline __u64 find_key(__u32 what, __u32 slot, __u32 state, __u64 by)
{
	__u64 h = (by ^ (__u64)what << 56 ^ (__u64)slot << 40) * 0x9E3779B97F4A7C15ull;

	h = (h ^ h >> 29 ^ state) * 0xD6E8FEB86659FD93ull;
	return h ? h : 1;
}

/* Counts it; the number when it is to be told (a power of two), else 0. */
static __always_inline __u64 find_count(__u64 key)
{
	__u64 *n = bpf_map_lookup_elem(&find_counts, &key), one = 1, now;

	if (!n) {
		bpf_map_update_elem(&find_counts, &key, &one, BPF_ANY);
		return 1;
	}
	now = __sync_fetch_and_add(n, 1) + 1;
	return now & (now - 1) ? 0 : now;
}

/*
 * A record to be filled and given to find_send(), or NULL. by: what tells it from others of its
 * kind in the same state. Its place in the ring is taken here: get its site first, so that user
 * space learns of the site before it.
 */
static __always_inline struct lmt_finding *find_open(__u32 what, __u32 slot, __u32 state, __u64 by)
{
	__u64 key = find_key(what, slot, state, by), n = find_count(key);
	struct lmt_finding *f;

	if (!n)
		return 0;
	f = bpf_ringbuf_reserve(&ring, sizeof(*f), 0);
	if (!f) {
		count(LMT_STAT_RING_FULL);
		return 0;
	}
	__builtin_memset(f, 0, sizeof(*f));
	event_begin(&f->e, LMT_EV_FINDING, slot, state);
	f->e.arg0 = what;
	f->e.arg1 = n;
	f->key = key;
	return f;
}

static __always_inline void find_send(struct lmt_finding *f)
{
	bpf_ringbuf_submit(f, BPF_RB_FORCE_WAKEUP);
}

static __always_inline struct lmt_free_note *free_note_at(__u64 key)
{
	__u32 at = (__u32)(key * 0x9E3779B97F4A7C15ull >> 32) & (LMT_FREE_NOTES - 1);

	return bpf_map_lookup_elem(&free_notes, &at);
}

/* Where the block of that key was freed last: its site, and the collector's state; both 0 if unknown. */
static __always_inline void freed_where(__u64 key, __u64 *site, __u64 *gc_state)
{
	const struct lmt_free_note *note = free_note_at(key);
	bool known = note && note->key == key;

	*site = known ? note->site : 0;
	*gc_state = known ? note->gc_state : 0;
}

/*
 * Position + 1 of the module range that holds the address; 0: none does. Without branches, since
 * the verifier would follow each way through a search.
 */
SUBPROG int find_range(__u32 slot, __u64 uaddr)
{
	struct lmt_ranges *all = bpf_map_lookup_elem(&ranges, &slot);
	__u64 pos = 0;

	if (!all || uaddr >= LMT_RANGE_END)
		return 0;
#pragma unroll
	for (__u64 step = LMT_RANGES / 2; step; step /= 2) {
		__u64 end = all->r[(pos + step - 1) & (LMT_RANGES - 1)].end;

		pos += ((end - uaddr - 1) >> 63) * step;
		NO_BRANCH(pos);
	}
	pos &= LMT_RANGES - 1;
	return all->r[pos].start <= uaddr && uaddr < all->r[pos].end ? (int)pos + 1 : 0;
}

/* The place a block comes from, once more: the target may die before the first time is read. */
SUBPROG int tell_site(__u32 at)
{
	struct lmt_site *site = at ? bpf_map_lookup_elem(&sites, &at) : 0;
	const struct lmt_layout *lay;
	struct lmt_state *st;

	if (site && site->flags & LMT_SITE_STACK) {
		at = site->parent;
		site = bpf_map_lookup_elem(&sites, &at);
	}
	st = site ? state_at(site->state) : 0;
	lay = st ? layout_at(st->layout) : 0;

	if (!lay)
		return 0;
	copy_place(lay, st->slot, at, site->proto, LMT_SITE_PC(site));
	emit(LMT_EV_SITE, st->slot, site->state, at, 0);
	return 0;
}

/* The entry of a place for findings; 0 when the table is full. */
SUBPROG __u32 finding_site(__u32 state, const struct top *top)
{
	struct lmt_site *site = 0;

	return top ? site_get(state, LMT_TAG_FINDING, top, 0, &site) : 0;
}

/* The thread h->t runs code of one copy of Lua on a state of another; ip: where that goes on. */
SUBPROG int tell_foreign(struct hit *h, __u32 slot, __u64 ip)
{
	struct lmt_site *site = 0;
	struct lmt_finding *f;
	struct lmt_state *st;
	__u32 at;

	if (!h)
		return 0;
	st = state_at(h->t.state);
	at = site_get(h->t.state, LMT_TAG_FINDING, &h->top, 0, &site); /* inline: calls nest deep here */
	f = st ? find_open(LMT_FIND_CROSS_RUNTIME, slot, h->t.state, h->t.foreign) : 0;
	if (!f)
		return 0;
	f->ip = ip;
	f->arg[0] = h->t.foreign;
	f->arg[1] = st->runtime;
	f->site = at;
	find_send(f);
	return 0;
}

/* The same where the Lua frame was not looked for. */
SUBPROG int tell_foreign_caller(struct hit *h, __u32 slot)
{
	const struct lmt_layout *lay;
	struct lmt_state *st;

	if (!h)
		return 0;
	st = state_at(h->t.state);
	lay = st ? layout_at(st->layout) : 0;
	h->top = (struct top){ .flags = LMT_SITE_NO_LUA };
	if (lay)
		top_frame(h, lay, slot);
	return tell_foreign(h, slot, h->caller.ip);
}

/* The state that h->caller runs for; 0 unknown. */
SUBPROG __u32 running_at(struct hit *h, __u32 layout, __u32 slot)
{
	__u32 i = h ? find_thread(h, layout, slot) : 0;

	return i == NEEDS_LAYOUT ? 0 : i;
}

/*
 * Which state h->caller runs for, 0 when nobody knows, and where its Lua code is: h->t, h->top. state:
 * what is known already. LuaJIT's global_State tells its thread; PUC Lua's does not, so there the thread
 * is always looked for. layout, NEEDS_LAYOUT: as in find_thread().
 */
SUBPROG __u32 locate(struct hit *h, __u32 layout, __u32 slot, __u32 state)
{
	const struct lmt_layout *lay;
	struct lmt_state *st;

	if (!h)
		return 0;
	h->top = (struct top){ .flags = LMT_SITE_NO_LUA, .tag = h->top.tag };
	h->t.L = 0;
	h->t.state = state;
	h->t.foreign = 0;
	st = state_at(state);
	lay = st ? layout_at(st->layout) : 0;
	if (!lay || !lay->hot.G_cur_L) {
		if (find_thread(h, layout, slot) == NEEDS_LAYOUT)
			return NEEDS_LAYOUT;
		if (state && h->t.state != state) { /* the block or the ud knows better */
			h->t.state = state;
			h->t.L = 0;
		}
		st = state_at(h->t.state);
		lay = st ? layout_at(st->layout) : 0;
	}
	if (!lay || st->flags & LMT_STATE_PROCESS)
		return h->t.state;
	top_frame(h, lay, slot);
	return h->t.state;
}

/* The same, and tells of code of one copy of Lua that drives another's state. */
static __always_inline __u32 locate_telling(struct hit *h, __u32 layout, __u32 slot, __u32 state)
{
	state = locate(h, layout, slot, state);
	if (h->t.foreign)
		tell_foreign(h, slot, h->caller.ip);
	return state;
}

/* Where the Lua code of h->caller is, as a site: that in the low, the state in the high half. */
static __always_inline __u64 find_place(struct hit *h, __u32 layout, __u32 slot, __u32 state)
{
	struct lmt_state *st;

	h->top.tag = 0;
	state = locate_telling(h, layout, slot, state);
	if (state == NEEDS_LAYOUT)
		return 0;
	st = state_at(state);
	if (!st || st->flags & LMT_STATE_PROCESS)
		return (__u64)state << 32;
	return (__u64)state << 32 | finding_site(state, &h->top);
}

#endif
