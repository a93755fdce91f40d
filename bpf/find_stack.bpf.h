/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * find_stack: the whole stack of a finding, Lua's and C's. Programs that include it have the walkers,
 * which take long to verify. BPF only.
 */
#ifndef LMT_FIND_STACK_BPF_H
#define LMT_FIND_STACK_BPF_H

#include "find.bpf.h"
#include "stack.bpf.h"

#define RING_BUSY (LMT_RING_BYTES / 8) /* more than that unread: what can wait waits */

/*
 * Sends it once for each place of findings, ahead of the finding, and of frees; the place's site.
 * Stacks of frees are many at first, and wanted later if at all: they wait while the ring fills.
 */
SUBPROG __u32 find_stack(struct hit *h, __u32 state, __u32 tag)
{
	struct lmt_state *st = state_at(state);
	struct lmt_site *site = 0;
	__u32 at;

	if (!h || !st || st->flags & LMT_STATE_PROCESS)
		return 0;
	at = site_get(state, tag, &h->top, 0, &site);
	if (!site || site->flags & LMT_SITE_TOLD)
		return at;
	if (tag == LMT_TAG_FREE && bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) > RING_BUSY)
		return at;
	site->flags |= LMT_SITE_TOLD;
	whole_stack_send(h, state, at);
	return at;
}

#endif
