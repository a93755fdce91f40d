/* SPDX-License-Identifier: MIT */
#include "sys.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

/* union bpf_attr's link_create.uprobe_multi, Linux 6.6, with what precedes it. */
struct uprobe_multi_attr {
	uint32_t prog_fd, target_fd, attach_type, flags;
	uint64_t path, offsets, ref_ctr_offsets, cookies;
	uint32_t cnt, uprobe_flags, pid, pad;
};
_Static_assert(sizeof(struct uprobe_multi_attr) == 64, "kernel ABI");

/* link_create.perf_event, Linux 5.15. */
struct perf_link_attr {
	uint32_t prog_fd, target_fd, attach_type, flags;
	uint64_t cookie;
};

#define UPROBE_MULTI_RETURN 1u
#define ATTACH_PERF_EVENT 41u /* BPF_PERF_EVENT */

static int sys_bpf(int cmd, void *attr, size_t size)
{
	long fd = syscall(SYS_bpf, cmd, attr, size);

	return fd < 0 ? -errno : (int)fd;
}

static int load(const struct bpf_insn *insns, size_t n, unsigned int attach_type)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_KPROBE;
	attr.insns = (uintptr_t)insns;
	attr.insn_cnt = (uint32_t)n;
	attr.license = (uintptr_t)"Dual BSD/GPL";
	attr.expected_attach_type = attach_type;
	return sys_bpf(BPF_PROG_LOAD, &attr, sizeof(attr));
}

#define RETURN_0 \
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0 }, { .code = BPF_JMP | BPF_EXIT }

int sys_load_empty(unsigned int attach_type)
{
	const struct bpf_insn insns[] = { RETURN_0 };

	return load(insns, 2, attach_type);
}

int sys_load_calls(const int kfuncs[2], unsigned int attach_type)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_6, .src_reg = BPF_REG_1 },
		{ .code = BPF_JMP | BPF_CALL, .src_reg = BPF_PSEUDO_KFUNC_CALL, .imm = kfuncs[0] },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_6 },
		{ .code = BPF_JMP | BPF_CALL, .src_reg = BPF_PSEUDO_KFUNC_CALL, .imm = kfuncs[1] },
		RETURN_0
	};

	return load(insns, sizeof(insns) / sizeof(insns[0]), attach_type);
}

int sys_uprobe_multi(int prog_fd, unsigned int attach_type, const char *path,
		     const uint64_t *offsets, const uint64_t *cookies, size_t n, pid_t pid,
		     bool ret)
{
	struct uprobe_multi_attr attr = {
		.prog_fd = (uint32_t)prog_fd,
		.attach_type = attach_type,
		.path = (uintptr_t)path,
		.offsets = (uintptr_t)offsets,
		.cookies = (uintptr_t)cookies,
		.cnt = (uint32_t)n,
		.uprobe_flags = ret ? UPROBE_MULTI_RETURN : 0,
		.pid = (uint32_t)pid,
	};

	return sys_bpf(BPF_LINK_CREATE, &attr, sizeof(attr));
}

static int read_number(const char *path, const char *prefix)
{
	auto_fclose FILE *f = fopen(path, "re");
	char line[64];
	int n;

	if (!f || !fgets(line, sizeof(line), f) || strncmp(line, prefix, strlen(prefix)) ||
	    sscanf(line + strlen(prefix), "%d", &n) != 1)
		return -EOPNOTSUPP;
	return n;
}

static int open_uprobe_event(const char *path, uint64_t offset, pid_t pid, bool ret)
{
	int type = read_number("/sys/bus/event_source/devices/uprobe/type", "");
	int bit = read_number("/sys/bus/event_source/devices/uprobe/format/retprobe", "config:");
	struct perf_event_attr attr;
	long fd;

	if (type < 0)
		return type;
	memset(&attr, 0, sizeof(attr));
	attr.size = sizeof(attr);
	attr.type = (uint32_t)type;
	attr.config = ret && bit >= 0 ? 1ull << bit : 0;
	attr.config1 = (uintptr_t)path;
	attr.config2 = offset;
	fd = syscall(SYS_perf_event_open, &attr, pid > 0 ? pid : -1, pid > 0 ? -1 : 0, -1,
		     PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : (int)fd;
}

int sys_uprobe_perf(int prog_fd, const char *path, uint64_t offset, uint64_t cookie, pid_t pid,
		    bool ret)
{
	struct perf_link_attr attr = { .attach_type = ATTACH_PERF_EVENT, .cookie = cookie };
	int event = open_uprobe_event(path, offset, pid, ret), link;

	if (event < 0)
		return event;
	attr.prog_fd = (uint32_t)prog_fd;
	attr.target_fd = (uint32_t)event;
	link = sys_bpf(BPF_LINK_CREATE, &attr, sizeof(attr));
	close(event); /* the link keeps it */
	return link;
}

int sys_enable_run_stats(void)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.enable_stats.type = BPF_STATS_RUN_TIME;
	return (int)syscall(SYS_bpf, BPF_ENABLE_STATS, &attr, sizeof(attr));
}
