/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * thread: on behalf of which lua_State the allocator was called. BPF only.
 *
 * LuaJIT hands its allocator one arena per state, so the first argument tells. PUC Lua does not:
 * there g and L are in callee-saved registers or in the first words of the caller's frame (facts:
 * docs/ARCHITECTURE.md). Where they are depends on the calling instruction only. For Lua's own
 * calls user space reads it off the code. For others it is learned by return address: at first
 * every place is tried, and those that held a thread every time so far stay in the call site's
 * mask; later the first of them is read and checked, and now and then all of them again.
 */
#ifndef LMT_THREAD_BPF_H
#define LMT_THREAD_BPF_H

#include "filter.bpf.h"
#include "hit.bpf.h"
#include "state.bpf.h"

#define PLACES (IN_REGISTERS + LMT_STACK_WORDS)

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

/* The thread's room, with the allocator's arguments and its caller, at entry. */
static __always_inline struct hit *hit_at_entry(const struct pt_regs *r, const struct call *c)
{
	struct hit *h = hit_get(true);

	if (!h) {
		count(LMT_STAT_NO_PENDING);
		return 0;
	}
	h->call = *c;
	caller_at_entry(r, &h->caller);
	return h;
}

/* What the place holds: 0-5 callee-saved registers, then words of the caller's stack. */
static __always_inline __u64 place_get(const struct caller *c, __u32 place)
{
	__u64 word = 0;

	NO_RANGE(place);
	if (place < IN_REGISTERS)
		return c->reg[place & 7];
	bpf_probe_read_user(&word, 8, (const void *)(c->sp + 8ull * (place - IN_REGISTERS)));
	return word;
}

static __always_inline bool is_user_pointer(__u64 p)
{
	return p >= 4096 && !(p >> 47) && !(p & 7);
}

#define LUAJIT_ERRERR 5 /* a status while an error handler runs (lj_err.c: lj_err_run) */

static __always_inline bool is_running(const struct lmt_hot *hot, __u8 status)
{
	return !status || (status == LUAJIT_ERRERR && hot->family == LMT_FAMILY_LUAJIT);
}

/*
 * The global_State of the thread that was read into words; 0 when it is none. A suspended coroutine
 * does not allocate, so a status other than 0 means a stale pointer.
 */
static __always_inline __u64 thread_glob(const struct lmt_hot *hot, const __u64 *words)
{
	if (byte_at(words, THREAD_WORDS, hot->L_tag) != hot->tag_thread ||
	    !is_running(hot, byte_at(words, THREAD_WORDS, hot->L_status)))
		return 0;
	return ref_at(words, THREAD_WORDS, hot->L_glob, hot->wide);
}

/* Reads L into words. No fault is counted: the places tried while learning hold anything. */
static __always_inline __u64 read_thread(const struct lmt_hot *hot, __u64 L, __u64 *words)
{
	__u32 size = hot->L_bytes;

	if (!is_user_pointer(L))
		return 0;
	if (size > THREAD_WORDS * 8)
		size = THREAD_WORDS * 8;
	if (bpf_probe_read_user(words, size, (const void *)L))
		return 0;
	return thread_glob(hot, words);
}

/*
 * A state that the table does not have: tell user space, which looks closely. Only if the main
 * thread lies where the layout says: that distance is what makes a state (docs/ARCHITECTURE.md).
 */
static __always_inline void report_unknown(const struct lmt_layout *lay, __u32 slot, __u64 g)
{
	__u64 main = g - (__u64)(__s64)lay->g_minus_L.off, back = 0;

	/* No fault is counted here either: g may be anything. */
	if (!is_user_pointer(g) || bpf_probe_read_user(&back, lay->hot.wide ? 8 : 4,
						       (const void *)(main + lay->hot.L_glob)))
		return;
	if (back == g)
		emit(LMT_EV_STATE_UNKNOWN, slot, 0, main, g);
}

/* Is g the global_State of that state, and does it live? */
static __always_inline bool is_state(__u32 state, __u32 slot, __u64 g)
{
	struct lmt_state *st = state_at(state);

	return st && st->g == g && st->slot == slot && !(st->flags & LMT_STATE_DEAD);
}

/*
 * The state that a value found at a place tells, 0 if none, or another one than wanted (0: any):
 * by a thread (t->L is set then), or by the global_State itself where that leads to the thread.
 * On its own, so that it is verified once and not PLACES times.
 */
SUBPROG __u32 try_place(const struct lmt_layout *lay, __u64 value, __u32 slot, __u32 want,
			struct thread *t)
{
	__u32 state;
	__u64 g;

	if (!lay || !t)
		return 0;
	t->L = value;
	g = read_thread(&lay->hot, value, t->words);
	if (!g) {
		t->L = 0;
		if (!lay->hot.G_cur_L || !is_user_pointer(value))
			return 0;
		state = owner_of(slot, value);
		if (!is_state(state, slot, value))
			return 0;
		return want && state != want ? 0 : state;
	}
	state = owner_of(slot, g);
	if (!state)
		report_unknown(lay, slot, g);
	return want && state != want ? 0 : state;
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

/*
 * Tries every place, keeps in the mask those that always held a thread, takes the first. The set
 * is gathered in map memory: the verifier does not follow its values, so their number does not
 * multiply what it has to look at.
 */
SUBPROG int learn_thread(struct hit *h, const struct lmt_layout *lay, __u32 want,
			 struct lmt_callsite *cs)
{
	__u32 found, slot;

	if (!h || !lay || !cs)
		return 0;
	slot = LMT_KEY_SLOT(cs->key);
	h->places = 0;
	for (__u32 i = 0; i < PLACES; i++)
		if (try_place(lay, place_get(&h->caller, i), slot, want, &h->t))
			h->places |= 1u << i;
	found = h->places & (cs->mask ? cs->mask : ~0u);
	cs->mask = found;
	h->t.L = 0;
	if (!found)
		return 0;
	cs->place = lowest_place(found);
	h->t.state = try_place(lay, place_get(&h->caller, cs->place), slot, want, &h->t);
	return h->t.state != 0;
}

static __always_inline struct lmt_callsite *callsite_get(__u32 slot, __u64 ip)
{
	__u64 key = LMT_KEY(slot, ip);
	__u32 i = LMT_CALLSITE_HASH(key);

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

static __always_inline const struct lmt_layout *layout_of_state(__u32 state)
{
	struct lmt_state *st = state_at(state);

	return st ? layout_at(st->layout) : 0;
}

/* The thread at a place, if it belongs to the state. */
static __always_inline bool thread_at(const struct caller *c, __u32 place, __u32 state,
				      struct thread *t)
{
	struct lmt_state *st = state_at(state);
	const struct lmt_layout *lay = st ? layout_at(st->layout) : 0;

	if (!lay || st->flags & LMT_STATE_DEAD) /* another may live at its address */
		return false;
	t->L = place_get(c, place);
	t->state = state;
	if (read_thread(&lay->hot, t->L, t->words) == st->g)
		return true;
	t->L = 0;
	return false;
}

/* A caller that is not Lua's own code, or keeps its state nowhere known. */
static __always_inline bool search_thread(struct hit *h, const struct lmt_layout *lay, __u32 want,
					  struct lmt_callsite *cs)
{
	__u32 hits = cs->hits++, state = want ? want : *(volatile __u32 *)&cs->state;

	if (hits >= LMT_LEARN_HITS && hits & LMT_RELEARN_MASK && cs->mask &&
	    thread_at(&h->caller, cs->place, state, &h->t))
		return true;
	if (!lay || !learn_thread(h, lay, want, cs))
		return false;
	cs->state = h->t.state;
	return true;
}

/* A state that this call site serves for the first time: is it of the copy of Lua the site is in? */
static __always_inline void check_home(const struct lmt_callsite *cs, struct thread *t)
{
	struct lmt_state *st = state_at(t->state);

	if (st && st->runtime && cs->known && cs->known != st->runtime)
		t->foreign = cs->known;
}

#define NEEDS_LAYOUT (~0u)

/*
 * The state on whose behalf h->caller called the allocator, 0 when there is none, and its running
 * thread where that can be told (h->t.L, else 0). layout: of the copy of Lua whose allocator is probed
 * here, which most often is not needed; with 0 the answer may be NEEDS_LAYOUT.
 */
static __always_inline __u32 find_thread(struct hit *h, __u32 layout, __u32 slot)
{
	struct lmt_callsite *cs = callsite_get(slot, h->caller.ip);
	const struct lmt_layout *lay;
	struct thread *t = &h->t;
	__u64 g;

	t->L = 0;
	t->state = 0;
	t->foreign = 0;
	if (!cs)
		return 0;
	if (layout)
		cs->layout = layout;
	else
		layout = cs->layout;
	if (!cs->known || cs->g_place == LMT_PLACE_NONE) {
		if (!layout)
			return NEEDS_LAYOUT;
		lay = layout_at(layout);
		if (cs->known && cs->L_place != LMT_PLACE_NONE && lay) {
			t->state = try_place(lay, place_get(&h->caller, cs->L_place), slot, 0, t);
			if (t->state && t->state != cs->state) {
				cs->state = t->state;
				check_home(cs, t);
			}
			if (t->state)
				return t->state;
		}
		return search_thread(h, lay, 0, cs) ? t->state : 0;
	}
	g = place_get(&h->caller, cs->g_place);
	t->state = *(volatile __u32 *)&cs->state; /* shared with other threads: read it once */
	if (!is_state(t->state, slot, g)) {
		t->state = owner_of(slot, g);
		if (!t->state) {
			if (!layout)
				return NEEDS_LAYOUT;
			lay = layout_at(layout);
			if (lay)
				report_unknown(lay, slot, g);
			return 0;
		}
		cs->state = t->state;
		check_home(cs, t);
	}
	if (cs->L_place == LMT_PLACE_NONE || !thread_at(&h->caller, cs->L_place, t->state, t))
		search_thread(h, layout_of_state(t->state), t->state, cs);
	return t->state;
}

#endif
