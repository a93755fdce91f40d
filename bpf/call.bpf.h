/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * call: an allocator call, and --trace, which tells of each. Nothing is left of that when it is not
 * asked for: the configuration is constant when the kernel verifies the programs. BPF only.
 */
#ifndef LMT_CALL_BPF_H
#define LMT_CALL_BPF_H

#include "emit.bpf.h"
#include "hit.bpf.h"

struct told_call {
	__u64 ptr, old_ptr, osize, nsize;
	__u32 site, op;
};

static __noinline int send_call(__u32 slot, __u32 state, const struct told_call *c)
{
	struct lmt_call_event *e;

	if (!c)
		return 0;
	e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);
	if (!e) {
		count(LMT_STAT_CALL_LOST);
		return 0;
	}
	event_begin(&e->e, LMT_EV_CALL, slot, state);
	e->e.arg0 = c->ptr;
	e->e.arg1 = c->old_ptr;
	e->osize = c->osize;
	e->nsize = c->nsize;
	e->site = c->site;
	e->op = c->op;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

static __always_inline void tell_call(__u32 op, __u32 slot, __u32 state, __u32 site, __u64 ptr,
				      const struct call *c)
{
	if (!config.each_call)
		return;
	send_call(slot, state, &(struct told_call){ ptr, c->ptr, c->osize, c->nsize, site, op });
}

#endif
