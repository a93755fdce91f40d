// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * c_heap: the programs on malloc() and its kin: entry and return, as for the allocators; see c_heap.bpf.h.
 */
#include "maps.bpf.h"

#include "c_heap.bpf.h"
#include "kfunc.h"

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";

SEC("uprobe")
int c_heap_session(struct pt_regs *ctx)
{
	share_no_stack();
	if (!session_is_return(ctx))
		return !c_enter(ctx);
	c_leave(ctx);
	return 0;
}

SEC("uprobe")
int c_heap_enter(struct pt_regs *ctx)
{
	share_no_stack();
	c_enter(ctx);
	return 0;
}

SEC("uretprobe")
int c_heap_leave(struct pt_regs *ctx)
{
	share_no_stack();
	c_leave(ctx);
	return 0;
}
