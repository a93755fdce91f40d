/* SPDX-License-Identifier: MIT */
/*
 * sys: the bpf and perf system calls that libbpf 1.1 does not wrap.
 * L3 attach. Each returns a file descriptor or a negative errno.
 */
#ifndef LMT_ATTACH_SYS_H
#define LMT_ATTACH_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Attach types newer than Debian 12's headers (include/uapi/linux/bpf.h, Linux 6.6 and 6.13). */
enum { SYS_UPROBE_MULTI = 48, SYS_UPROBE_SESSION = 57 };

/* Loads "return 0" as a uprobe program; attach_type 0 for perf-event uprobes. */
int sys_load_empty(unsigned int attach_type);

/* The same, with calls of two functions of the kernel, by their BTF ids; both get the context. */
int sys_load_calls(const int kfuncs[2], unsigned int attach_type);

/*
 * Puts one program onto n offsets of a file. pid 0: every process; cookies may be NULL.
 * ret: a return probe.
 */
int sys_uprobe_multi(int prog_fd, unsigned int attach_type, const char *path,
		     const uint64_t *offsets, const uint64_t *cookies, size_t n, pid_t pid,
		     bool ret);

/* Opens a perf event on one offset and gives it the program and the cookie. */
int sys_uprobe_perf(int prog_fd, const char *path, uint64_t offset, uint64_t cookie, pid_t pid,
		    bool ret);

/* The kernel counts runs and time of BPF programs until the descriptor is closed; -1: it cannot. */
int sys_enable_run_stats(void);

#endif
