/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * filter: is this hit ours? The kernel's own pid filter of a link is not relied upon: it had
 * bugs, and fork keeps breakpoints. BPF only.
 */
#ifndef LMT_FILTER_BPF_H
#define LMT_FILTER_BPF_H

#include "maps.bpf.h"

/* Slot of the current process, 0 when it is not traced or tracing is off. */
static __always_inline __u32 current_slot(void)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	__u32 *slot;

	if (!active)
		return 0;
	if (only_tgid)
		return tgid == only_tgid ? only_slot : 0;
	slot = bpf_map_lookup_elem(&slots, &tgid);
	return slot ? *slot : 0;
}

/* The same on return, where the entry is known to have been ours. */
static __always_inline __u32 slot_again(void)
{
	if (active && only_tgid)
		return only_slot;
	return current_slot();
}

/* The probe a link's cookie names. */
static __always_inline const struct lmt_probe *current_probe(void *ctx)
{
	__u32 i = (__u32)bpf_get_attach_cookie(ctx);

	return bpf_map_lookup_elem(&probes, &i);
}

#endif
