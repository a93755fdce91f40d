/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * stack_native: takes the C side of a stack along: registers and the stack's memory, for user
 * space to unwind. BPF only.
 *
 * For findings, and under config.native for every whole stack. Without that the verifier knows
 * that no allocation comes here.
 */
#ifndef LMT_STACK_NATIVE_BPF_H
#define LMT_STACK_NATIVE_BPF_H

#include "thread.bpf.h"

/* Never used: puts the event's layout into the object's BTF, where tests/bpf/t_abi.c reads it. */
const struct lmt_native *native_type __weak = 0;

/*
 * The registers of the allocator's caller. Ways through C that lead to the same Lua stack are told
 * apart by where it goes on and how deep its stack is, counted from a place that is fixed for each
 * thread.
 */
static __always_inline void native_take(const struct caller *c, struct walk *w)
{
	const struct task_struct *task = (const struct task_struct *)bpf_get_current_task_btf();
	__u64 depth = c->sp - task->thread.fsbase;

	w->native[0] = c->ip;
	w->native[1] = c->sp;
	for (int i = 0; i < 6; i++)
		w->native[2 + i] = c->reg[i];
	w->hash = (w->hash ^ c->ip ^ depth << 32) * 0x9E3779B97F4A7C15ull;
	w->hash ^= w->hash >> 31;
}

/* The registers, and as much of the stack as there is. */
static __always_inline void native_fill(struct lmt_native *n, __u64 ip, __u64 sp, const __u64 *reg)
{
	n->ip = ip;
	n->sp = sp;
	for (int i = 0; i < 6; i++)
		n->reg[i] = reg[i];
	n->start = sp & ~(__u64)(LMT_NATIVE_PART - 1);
	n->len = 0;
	for (__u32 i = 0; i < LMT_NATIVE_BYTES / LMT_NATIVE_PART; i++) {
		if (bpf_probe_read_user(n->data + i * LMT_NATIVE_PART, LMT_NATIVE_PART,
					(const void *)(n->start + i * LMT_NATIVE_PART)))
			break;
		n->len += LMT_NATIVE_PART;
	}
}

/* Sends them with the stack behind them, ahead of the Lua stack in w->ev. */
SUBPROG int native_send(struct walk *w)
{
	struct lmt_native *n;

	if (!w)
		return 0;
	n = bpf_ringbuf_reserve(&ring, sizeof(*n), 0);
	if (!n) {
		count(LMT_STAT_STACK_LOST);
		return 0;
	}
	n->e = w->ev.e;
	n->e.kind = LMT_EV_NATIVE;
	n->cframe = w->cframe_top;
	native_fill(n, w->native[0], w->native[1], &w->native[2]);
	bpf_ringbuf_submit(n, 0);
	w->ev.flags |= LMT_STACK_NATIVE;
	return 1;
}

#endif
