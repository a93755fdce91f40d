/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * hold: stops a process that we started ourselves until user space has caught up. BPF only.
 */
#ifndef LMT_HOLD_BPF_H
#define LMT_HOLD_BPF_H

#include "read.bpf.h"

#define SIGSTOP_NUMBER 19

static __always_inline __u32 follow_flags(void)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	__u32 *flags = bpf_map_lookup_elem(&followed_pids, &tgid);

	return flags ? *flags : 0;
}

static __always_inline void hold(__u32 flags)
{
	if (flags & LMT_FOLLOW_HOLD && bpf_send_signal(SIGSTOP_NUMBER))
		count(LMT_STAT_NOT_HELD);
}

#endif
