// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * proc: processes that fork, run another program, or map another library. Rare.
 *
 * A process we started ourselves (LMT_FOLLOW_HOLD) is stopped at such a moment until user space has
 * placed its probes: it gets SIGSTOP before its next instruction, and SIGCONT from user space, or
 * from the kernel should user space die (PR_SET_PDEATHSIG).
 */
#include "maps.bpf.h"

#include "emit.bpf.h"
#include "filter.bpf.h"
#include "hit.bpf.h"
#include "hold.bpf.h"

#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";

/* Both by BTF: they may look into the kernel's structures without a helper that lockdown forbids. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	__u32 slot = current_slot(), followed = follow_flags();
	struct lmt_program program;
	__u64 comm[2] = {};

	if (!active || (!slot && !followed && !config.follow_all))
		return 0;
	program.inode = bprm->file->f_inode->i_ino;
	program.dev = bprm->file->f_inode->i_sb->s_dev;
	bpf_get_current_comm(comm, sizeof(comm));
	emit(LMT_EV_EXEC, slot, bpf_map_lookup_elem(&lua_programs, &program) != 0, comm[0], comm[1]);
	hold(followed);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 slot = current_slot(), followed = follow_flags();
	__u32 tgid;

	if (!active || (!slot && !followed))
		return 0;
	tgid = (__u32)child->tgid;
	if ((__u32)child->pid != tgid)
		return 0; /* a thread */
	if (followed && bpf_map_update_elem(&followed_pids, &tgid, &followed, BPF_ANY))
		count(LMT_STAT_NOT_HELD);
	emit(LMT_EV_FORK, slot, 0, tgid, 0);
	return 0;
}

/* Its pid may be given to somebody who must not be stopped, its tid to a thread that keeps nothing yet. */
SEC("raw_tp/sched_process_exit")
int on_exit(void *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tgid = id >> 32, tid = (__u32)id;

	if (tid == tgid)
		bpf_map_delete_elem(&followed_pids, &tgid);
	if (spare_used)
		bpf_map_delete_elem(&spare_hits, &tid);
	return 0;
}
