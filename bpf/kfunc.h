/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * kfunc: functions of the kernel that our programs call where it has them. Read by both sides.
 *
 * A program calls one by a helper's number that no kernel has; the loader puts the call of the
 * kernel's function there (user/attach/prepare.c). As externs they would not do: Linux 7.0 gave the session functions an argument, and libbpf 1.1
 * refuses the whole object if one extern's type differs, be it weak and of no loaded program.
 * With the context in R1 one call serves both: 6.13 to 6.19 take no argument and ignore R1.
 */
#ifndef LMT_KFUNC_H
#define LMT_KFUNC_H

#define LMT_KFUNC_BASE 0x7ab10000

enum lmt_kfunc {
	LMT_KFUNC_SESSION_IS_RETURN,
	LMT_KFUNC_SESSION_COOKIE,
	LMT_KFUNCS
};

#ifdef __bpf__
static bool (*const session_is_return)(void *ctx) = (void *)(LMT_KFUNC_BASE + LMT_KFUNC_SESSION_IS_RETURN);
static __u64 *(*const session_cookie)(void *ctx) = (void *)(LMT_KFUNC_BASE + LMT_KFUNC_SESSION_COOKIE);
#endif

#endif
