/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vmlinux: the few kernel definitions the BPF programs need on x86-64.
 *
 * Uprobes see struct pt_regs, whose layout is user-space ABI (ptrace); map types and flags are
 * user-space ABI too (include/uapi/linux/bpf.h). Of structures of the kernel's own only the
 * members named are used, wherever they are. So nothing here depends on a kernel version and nothing was generated. For a full
 * header of one kernel: bpftool btf dump file /sys/kernel/btf/vmlinux format c
 */
#ifndef __VMLINUX_H__
#define __VMLINUX_H__

typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __s32 s32;
typedef __u64 u64;
typedef __s64 s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef _Bool bool;
enum { false = 0, true = 1 };

enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_QUEUE = 22,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};

enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_EXIST = 2,
};

enum {
	BPF_F_NO_PREALLOC = 1,
	BPF_F_MMAPABLE = 1024,
};

enum {
	BPF_RB_FORCE_WAKEUP = 2,
	BPF_RB_AVAIL_DATA = 0,
};

enum {
	BPF_LOCAL_STORAGE_GET_F_CREATE = 1,
};

struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx;
	unsigned long r11, r10, r9, r8, ax, cx, dx, si, di;
	unsigned long orig_ax, ip, cs, flags, sp, ss;
};

/* The members' offsets are taken from the running kernel's BTF at load (CO-RE). */
#ifdef __bpf__ /* not where tests compile BPF code for the host */
#define KERNEL_STRUCT __attribute__((preserve_access_index))
#else
#define KERNEL_STRUCT
#endif

struct thread_struct {
	unsigned long fsbase;
} KERNEL_STRUCT;

struct task_struct {
	int pid;
	int tgid;
	struct thread_struct thread;
} KERNEL_STRUCT;

/* The program that a process starts. */
struct super_block {
	__u32 s_dev;
} KERNEL_STRUCT;

struct inode {
	struct super_block *i_sb;
	unsigned long i_ino;
} KERNEL_STRUCT;

struct file {
	struct inode *f_inode;
} KERNEL_STRUCT;

struct linux_binprm {
	struct file *file;
} KERNEL_STRUCT;

#endif
