/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * event: what goes through the ring buffer: rare things only. Contract header.
 * Kinds are append-only; never renumber.
 */
#ifndef LMT_BPF_EVENT_H
#define LMT_BPF_EVENT_H

#ifndef __bpf__
#include <linux/types.h>
#endif

enum {
	LMT_EV_STATE_BORN = 1,    /* state: its index */
	LMT_EV_STATE_CLOSING = 2, /* lua_close() entered */
	LMT_EV_STATE_DEAD = 3,    /* its block was freed */
	LMT_EV_STATE_UNKNOWN = 4, /* arg0 main thread, arg1 global_State: not in the table */
	LMT_EV_SITE = 5,          /* state, arg0: index of a new site, arg1: its first block */
	LMT_EV_NEWSTATE = 6,      /* lua_newstate() entered; state: layout, arg0 allocator, arg1 its ud */
	LMT_EV_EXEC = 7,          /* the process runs another program now; slot 0: not traced yet */
	LMT_EV_FORK = 8,          /* arg0: tgid of the child */
	LMT_EV_MAPS = 9,          /* the dynamic loader mapped or unmapped libraries */
	LMT_EV_FINDING = 16,      /* struct lmt_finding of find.h */
	LMT_EV_FFI = 17,          /* the process calls C through LuaJIT's FFI; once */
	LMT_EV_MEMORY = 18,       /* struct lmt_memory of find.h; arg0: the site it is for */
};

struct lmt_event {
	__u32 kind;
	__u32 slot;
	__u32 tgid;
	__u32 tid;
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u32 state;
	__u32 pad;
	__u64 arg0;
	__u64 arg1;
};

_Static_assert(sizeof(struct lmt_event) == 48, "ABI");

#endif
