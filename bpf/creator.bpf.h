/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * creator: who makes states: the places that lua_newstate() is called from, each with its C stack
 * the first time it is met. BPF only.
 */
#ifndef LMT_CREATOR_BPF_H
#define LMT_CREATOR_BPF_H

#include "emit.bpf.h"
#include "stack_native.bpf.h"

__u32 next_creator __weak = 0;

/* Sends the C stack of a place for the first time it is met. */
SUBPROG int send_creator(const struct caller *c, __u32 slot, __u32 number)
{
	struct lmt_native *n = bpf_ringbuf_reserve(&ring, sizeof(*n), 0);

	if (!n) {
		count(LMT_STAT_STACK_LOST);
		return 0;
	}
	event_begin(&n->e, LMT_EV_CREATOR, slot, 0);
	n->e.arg0 = number;
	n->e.arg1 = n->cframe = 0;
	if (c)
		native_fill(n, c->ip, c->sp, c->reg);
	bpf_ringbuf_submit(n, 0);
	return 0;
}

/*
 * The number of the place that calls lua_newstate() here: the caller, and what of its stack tells its
 * own callers apart.
 */
SUBPROG int creator_of(struct hit *h, __u32 slot)
{
	const struct task_struct *task = (const struct task_struct *)bpf_get_current_task_btf();
	__u32 *known, number;
	__u64 key;

	if (!h)
		return 0;
	key = ((h->caller.ip ^ (h->caller.sp - task->thread.fsbase) << 32) * 0x9E3779B97F4A7C15ull) + slot;
	known = bpf_map_lookup_elem(&creators, &key);
	if (known)
		return (int)*known;
	number = __sync_fetch_and_add(&next_creator, 1) + 1;
	if (bpf_map_update_elem(&creators, &key, &number, BPF_NOEXIST))
		return 0;
	send_creator(&h->caller, slot, number);
	return (int)number;
}

/* The function may stand behind pushes. */
static __noinline int find_creator(struct pt_regs *ctx, const struct lmt_probe *p, __u32 slot)
{
	struct hit *h = hit_get(true);

	if (!h || !p)
		return 0;
	caller_at_entry(ctx, &h->caller);
	if (p->pushed) {
		h->caller.sp += p->pushed;
		read_user(&h->caller.ip, 8, h->caller.sp - 8);
	}
	return creator_of(h, slot);
}

SUBPROG int tell_newstate(__u32 slot, __u32 layout, __u64 f, __u64 ud, __u32 creator)
{
	struct lmt_event *e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);

	if (!e) {
		count(LMT_STAT_RING_FULL);
		return 0;
	}
	event_begin(e, LMT_EV_NEWSTATE, slot, layout);
	e->pad = creator;
	e->arg0 = f;
	e->arg1 = ud;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

#endif
