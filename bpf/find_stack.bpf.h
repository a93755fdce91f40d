/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * find_stack: the whole stack of a finding, Lua's and C's. For alloc.bpf.c only: other programs do
 * not have the walkers, which take long to verify. BPF only.
 */
#ifndef LMT_FIND_STACK_BPF_H
#define LMT_FIND_STACK_BPF_H

#include "find.bpf.h"
#include "stack.bpf.h"

/*
 * Sends it once for each place of findings, ahead of the finding. The mark is the entry's `parent`,
 * which places have no other use for.
 */
SUBPROG int find_stack(const struct caller *caller, __u32 state, const struct top *top)
{
	struct lmt_state *st = state_at(state);
	struct lmt_site *site = 0;
	__u32 at;

	if (!caller || !top || !st || st->flags & LMT_STATE_PROCESS)
		return 0;
	at = site_get(state, LMT_TAG_FINDING, top, 0, &site);
	if (!site || site->parent)
		return 0;
	site->parent = at;
	return whole_stack_send(caller, state, top, at);
}

#endif
