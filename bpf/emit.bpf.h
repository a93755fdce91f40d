/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emit: the only code that touches the ring. A full ring is counted. BPF only.
 */
#ifndef LMT_EMIT_BPF_H
#define LMT_EMIT_BPF_H

#include "read.bpf.h"

/* Never used: puts the event's layout into the object's BTF, where tests/bpf/t_abi.c reads it. */
const struct lmt_event *emit_type __weak = 0;

static __always_inline void event_begin(struct lmt_event *e, __u32 kind, __u32 slot, __u32 state)
{
	__u64 id = bpf_get_current_pid_tgid();

	e->kind = kind;
	e->slot = slot;
	e->tgid = id >> 32;
	e->tid = (__u32)id;
	e->time_ns = bpf_ktime_get_ns();
	e->state = state;
	e->pad = 0;
}

SUBPROG int emit(__u32 kind, __u32 slot, __u32 state, __u64 arg0, __u64 arg1)
{
	struct lmt_event *e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);

	if (!e) {
		count(LMT_STAT_RING_FULL);
		return 0;
	}
	event_begin(e, kind, slot, state);
	e->arg0 = arg0;
	e->arg1 = arg1;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

#endif
