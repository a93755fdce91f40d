/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * state: which lua_State an allocator call belongs to, and the births and deaths of states.
 * BPF only.
 *
 * LuaJIT hands its allocator one arena per state, so the first argument tells. PUC Lua does not:
 * there the running thread is in a callee-saved register or in the first words of the caller's
 * frame (facts: docs/ARCHITECTURE.md). Where it is depends on the calling instruction only, so it
 * is learned by return address: at first every place is tried and those that held a thread of a
 * known state every time so far stay in the call site's mask; later one place is read and checked.
 */
#ifndef LMT_STATE_BPF_H
#define LMT_STATE_BPF_H

#include "emit.bpf.h"
#include "read.bpf.h"

#define THREAD_WORDS 12 /* of a lua_State: all members used lie in its first 96 bytes */
#define PLACES (6 + LMT_STACK_WORDS)
#define PUC_TAG_THREAD 8
#define LUAJIT_TAG_THREAD 6

/* A thread found at a hit. */
struct thread {
	__u64 L; /* 0: only the state is known */
	__u32 state;
	__u32 pad;
	__u64 words[THREAD_WORDS];
};

static __always_inline struct lmt_state *state_at(__u32 i)
{
	return i && i < config.state_max ? bpf_map_lookup_elem(&states, &i) : 0;
}

static __always_inline __u32 owner_of(__u32 slot, __u64 uaddr)
{
	__u64 key = LMT_KEY(slot, uaddr);
	__u32 *state = bpf_map_lookup_elem(&owners, &key);

	return state ? *state : 0;
}

static __always_inline __u32 process_state(__u32 slot)
{
	struct lmt_proc *p = bpf_map_lookup_elem(&procs, &slot);

	return p ? p->state : 0;
}

static __always_inline bool is_user_pointer(__u64 p)
{
	return p >= 4096 && !(p >> 47) && !(p & 7);
}

/*
 * Reads L into t->words and tells its global_State; 0 when L is no thread. A suspended coroutine
 * does not allocate, so a status other than 0 means a stale pointer.
 */
static __always_inline __u64 read_thread(const struct lmt_layout *lay, __u64 L, struct thread *t)
{
	__u32 size = (__u32)lay->size_L.off, tag;

	if (!is_user_pointer(L))
		return 0;
	if (size > sizeof(t->words))
		size = sizeof(t->words);
	if (bpf_probe_read_user(t->words, size, (const void *)L))
		return 0;
	tag = lay->family == LMT_FAMILY_PUC ? PUC_TAG_THREAD : LUAJIT_TAG_THREAD;
	if (member(t->words, THREAD_WORDS, lay->L_tag) != tag ||
	    member(t->words, THREAD_WORDS, lay->L_status) != 0)
		return 0;
	return member(t->words, THREAD_WORDS, lay->L_glob);
}

/* The caller of the allocator: where it goes on, its stack, its callee-saved registers. */
struct caller {
	__u64 ip;
	__u64 sp;
	__u64 reg[6]; /* rbx rbp r12-r15 */
};

static __always_inline void caller_regs(const struct pt_regs *r, struct caller *c)
{
	c->reg[0] = r->bx;
	c->reg[1] = r->bp;
	c->reg[2] = r->r12;
	c->reg[3] = r->r13;
	c->reg[4] = r->r14;
	c->reg[5] = r->r15;
}

/* At a return probe the kernel shows the caller as it will be. */
static __always_inline void caller_at_return(const struct pt_regs *r, struct caller *c)
{
	c->ip = r->ip;
	c->sp = r->sp;
	caller_regs(r, c);
}

/* At entry, before anything was pushed, the return address is on top of the stack. */
static __always_inline void caller_at_entry(const struct pt_regs *r, struct caller *c)
{
	c->ip = 0;
	read_user(&c->ip, 8, r->sp);
	c->sp = r->sp + 8;
	caller_regs(r, c);
}

/* What the place holds: 0-5 callee-saved registers, then words of the caller's stack. */
static __always_inline __u64 place_get(const struct caller *c, __u32 place)
{
	__u64 word = 0;

#pragma unroll
	for (__u32 i = 0; i < 6; i++)
		if (place == i)
			return c->reg[i];
	bpf_probe_read_user(&word, 8, (const void *)(c->sp + 8ull * (place - 6)));
	return word;
}

/*
 * A state that the table does not have: tell user space, which looks closely. Only if the main
 * thread lies where the layout says: that distance is what makes a state (docs/ARCHITECTURE.md).
 */
static __always_inline void report_unknown(const struct lmt_layout *lay, __u32 slot, __u64 g)
{
	__u64 main = g - (__u64)(__s64)lay->g_minus_L.off, back = 0;
	bool wide = lay->L_glob.size == 8;

	if (!is_user_pointer(g) || !read_word(&back, wide, main + (__u32)lay->L_glob.off))
		return;
	if (back == g)
		emit(LMT_EV_STATE_UNKNOWN, slot, 0, main, g);
}

/* State of the thread at a place, through the call site's cache; 0 none. */
static __always_inline __u32 check_place(const struct lmt_layout *lay, __u32 slot, __u64 value,
					 struct lmt_callsite *cs, struct thread *t, bool learning)
{
	__u64 g = read_thread(lay, value, t);
	struct lmt_state *st;
	__u32 state;

	if (!g)
		return 0;
	st = state_at(cs->state);
	if (st && st->g == g && st->slot == slot && cs->g == g)
		return cs->state;
	state = owner_of(slot, g);
	if (!state && learning)
		report_unknown(lay, slot, g);
	if (state) {
		cs->g = g;
		cs->state = state;
	}
	return state;
}

static __always_inline __u32 lowest_place(__u32 mask)
{
	__u32 i = 0;

	if (!(mask & 0xffff)) {
		mask >>= 16;
		i += 16;
	}
	if (!(mask & 0xff)) {
		mask >>= 8;
		i += 8;
	}
	if (!(mask & 0xf)) {
		mask >>= 4;
		i += 4;
	}
	if (!(mask & 0x3)) {
		mask >>= 2;
		i += 2;
	}
	return mask & 1 ? i : i + 1;
}

/* check_place() while learning; on its own, so that it is verified once and not PLACES times. */
SUBPROG __u32 try_place(const struct lmt_layout *lay, __u64 value, struct lmt_callsite *cs,
			struct thread *t)
{
	if (!lay || !cs || !t)
		return 0;
	return check_place(lay, LMT_KEY_SLOT(cs->key), value, cs, t, true);
}

/*
 * Tries every place, keeps in the mask those that always held a thread, takes the first. The set
 * is gathered in map memory: the verifier does not follow its values, so their number does not
 * multiply what it has to look at.
 */
static __noinline bool learn_thread(const struct caller *c, const struct lmt_layout *lay,
				    struct lmt_callsite *cs, struct thread *t)
{
	struct pending *scratch = pending_get(true);
	__u32 found;

	if (!scratch)
		return false;
	scratch->places = 0;
	for (__u32 i = 0; i < PLACES; i++)
		if (try_place(lay, place_get(c, i), cs, t))
			scratch->places |= 1u << i;
	found = scratch->places & (cs->mask ? cs->mask : ~0u);
	cs->mask = found;
	if (!found)
		return false;
	t->L = place_get(c, lowest_place(found));
	t->state = try_place(lay, t->L, cs, t);
	return t->state != 0;
}

static __always_inline struct lmt_callsite *callsite_get(__u32 slot, __u64 ip)
{
	__u64 key = LMT_KEY(slot, ip);
	__u32 i = (__u32)((key * 0x9E3779B97F4A7C15ull) >> 40);

	for (int step = 0; step < LMT_CALLSITE_STEPS; step++, i++) {
		__u32 at = i & (LMT_CALLSITES - 1);
		struct lmt_callsite *cs = bpf_map_lookup_elem(&callsites, &at);

		if (!cs)
			return 0;
		if (cs->key == key || (!cs->key && !__sync_val_compare_and_swap(&cs->key, 0, key)))
			return cs;
	}
	return 0;
}

/* The thread on whose behalf the caller called the allocator. */
SUBPROG int find_thread(const struct caller *c, const struct lmt_layout *lay, __u32 slot,
			struct thread *t)
{
	struct lmt_callsite *cs;
	__u32 hits;

	if (!c || !lay || !t)
		return 0;
	cs = callsite_get(slot, c->ip);
	if (!cs)
		return 0;
	hits = cs->hits++;
	if (hits < LMT_LEARN_HITS || !cs->mask || !(hits & LMT_RELEARN_MASK))
		return learn_thread(c, lay, cs, t);
	t->L = place_get(c, lowest_place(cs->mask));
	t->state = check_place(lay, slot, t->L, cs, t, false);
	return t->state || learn_thread(c, lay, cs, t);
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

/*
 * Makes the entry of a state whose block was just handed out by the allocator whose probe flags
 * are given. Its index, or 0 when the table is full.
 */
SUBPROG int state_born(__u32 slot, __u32 layout, __u64 block, __u64 ud,
				 __u32 alloc_flags)
{
	const struct lmt_layout *lay;
	struct lmt_state *st;
	__u32 i;

	lay = bpf_map_lookup_elem(&layouts, &layout);
	if (!lay)
		return 0;
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
	st->flags = LMT_STATE_USED | (alloc_flags & LMT_PROBE_ARENA ? LMT_STATE_ARENA : 0);
	owner_add(slot, st->g, i);
	if (st->block != st->g)
		owner_add(slot, st->block, i);
	if (alloc_flags & LMT_PROBE_UD_IS_STATE)
		owner_add(slot, ud, i);
	emit(LMT_EV_STATE_BORN, slot, i, 0, 0);
	return (int)i;
}

static __always_inline void state_dead(__u32 slot, __u32 i, struct lmt_state *st)
{
	st->flags |= LMT_STATE_DEAD;
	if (!st->close_ns)
		st->close_ns = bpf_ktime_get_ns();
	owner_del(slot, st->g);
	owner_del(slot, st->block);
	emit(LMT_EV_STATE_DEAD, slot, i, 0, 0);
}

#endif
