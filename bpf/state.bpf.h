/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * state: births and deaths of states, and whose an address is. BPF only.
 */
#ifndef LMT_STATE_BPF_H
#define LMT_STATE_BPF_H

#include "emit.bpf.h"
#include "read.bpf.h"

static __always_inline struct lmt_state *state_at(__u32 i)
{
	return i && i < config.state_max ? bpf_map_lookup_elem(&states, &i) : 0;
}

static __always_inline struct lmt_layout *layout_at(__u32 i)
{
	return bpf_map_lookup_elem(&layouts, &i);
}

static __always_inline __u32 owner_of(__u32 slot, __u64 uaddr)
{
	__u64 key = LMT_KEY(slot, uaddr);
	__u32 *state = bpf_map_lookup_elem(&owners, &key);

	return state ? *state : 0;
}

/*
 * The state of an allocator argument that is each state's own. A small cache before the hash:
 * what it says is checked against the state itself.
 */
static __always_inline __u32 state_of_ud(__u32 slot, __u64 ud)
{
	__u32 i = (__u32)((ud * 0x9E3779B97F4A7C15ull) >> 54) & (LMT_UD_CACHE - 1), state;
	__u32 *cached = bpf_map_lookup_elem(&ud_cache, &i);
	struct lmt_state *st;

	if (!cached)
		return 0;
	st = state_at(*cached);
	if (st && st->ud == ud && st->slot == slot && !(st->flags & LMT_STATE_DEAD))
		return *cached;
	state = owner_of(slot, ud);
	if (state)
		*cached = state;
	return state;
}

static __always_inline __u32 process_state(__u32 slot)
{
	struct lmt_proc *p = bpf_map_lookup_elem(&procs, &slot);

	return p ? p->state : 0;
}

static __always_inline __u32 unattributed(__u32 slot)
{
	count(LMT_STAT_NO_STATE);
	return process_state(slot);
}

static __always_inline void add(__u64 *counter, __u64 n)
{
	__sync_fetch_and_add(counter, n);
}

static __always_inline __u32 func_place(__u64 func)
{
	return func >> 4 & (LMT_STATE_FUNCS - 1);
}

/* What lives at this address from now on is something else. */
static __always_inline void forget_func(struct lmt_state *st, __u64 uaddr)
{
	__u32 i = func_place(uaddr);

	if (st->func[i] == uaddr)
		st->func[i] = 0;
}

static __always_inline void owner_add(__u32 slot, __u64 uaddr, __u32 state)
{
	__u64 key = LMT_KEY(slot, uaddr);

	if (uaddr && bpf_map_update_elem(&owners, &key, &state, BPF_ANY))
		count(LMT_STAT_STATE_FULL);
}

static __always_inline void owner_del(__u32 slot, __u64 uaddr)
{
	__u64 key = LMT_KEY(slot, uaddr);

	bpf_map_delete_elem(&owners, &key);
}

static __always_inline __u64 born_now(const struct lmt_state *st)
{
	return (now_ms & LMT_BORN_MS_MASK) |
	       (__u64)(st->gc_cycle & LMT_CYCLE_MASK) << LMT_BORN_MS_BITS;
}

/* Its block was freed, or its arena unmapped: another may be born at its address. */
SUBPROG int state_dead(__u32 slot, __u32 i)
{
	struct lmt_state *st = state_at(i);

	if (!st)
		return 0;
	st->flags |= LMT_STATE_DEAD;
	if (!st->close_ns)
		st->close_ns = bpf_ktime_get_ns();
	owner_del(slot, st->g);
	owner_del(slot, st->block);
	if (st->flags & LMT_STATE_ARENA)
		owner_del(slot, st->ud);
	emit(LMT_EV_STATE_DEAD, slot, i, 0, 0);
	return 0;
}

/*
 * Makes the entry of a state whose block was just handed out by the allocator whose probe flags
 * are given. Its index, or 0 when the table is full.
 */
SUBPROG int state_born(__u32 slot, __u32 layout, __u64 block, __u64 ud, __u32 alloc_flags)
{
	const struct lmt_layout *lay = layout_at(layout);
	struct lmt_state *st;
	__u32 i = 0;

	if (!lay)
		return 0;
	if (bpf_map_pop_elem(&free_states, &i))
		i = __sync_fetch_and_add(&next_state, 1);
	st = state_at(i);
	if (!st) {
		count(LMT_STAT_STATE_FULL);
		return 0;
	}
	st->block = block;
	st->main = block + (__u32)lay->block_L.off;
	st->g = st->main + (__u64)(__s64)lay->g_minus_L.off;
	st->ud = ud;
	st->layout = layout;
	st->slot = slot;
	st->born_ns = bpf_ktime_get_ns();
	state_dead(slot, owner_of(slot, st->g)); /* an arena's end is not seen */
	if (alloc_flags & LMT_PROBE_UD_IS_STATE)
		state_dead(slot, owner_of(slot, ud));
	st->flags = LMT_STATE_USED | (alloc_flags & LMT_PROBE_ARENA ? LMT_STATE_ARENA : 0);
	owner_add(slot, st->g, i);
	if (st->block != st->g)
		owner_add(slot, st->block, i);
	if (alloc_flags & LMT_PROBE_UD_IS_STATE)
		owner_add(slot, ud, i);
	emit(LMT_EV_STATE_BORN, slot, i, 0, 0);
	return (int)i;
}

#endif
