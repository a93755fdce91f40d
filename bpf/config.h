/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * config: what user space sets before the programs are loaded, and the limits of both sides.
 * Contract header.
 */
#ifndef LMT_BPF_CONFIG_H
#define LMT_BPF_CONFIG_H

#ifndef __bpf__
#include <linux/types.h>
#endif

/* Of allocator calls: none, some before, or right now (see `gaps`). */
enum { LMT_GAPS_NONE, LMT_GAPS_BEFORE, LMT_GAPS_NOW };

#define LMT_MAX_LAYOUTS 32
#define LMT_MAX_PROBES 4096
#define LMT_CALLSITES 65536    /* power of two */
#define LMT_UD_CACHE 1024      /* power of two */
#define LMT_GG_WORDS 64        /* of LuaJIT's state block, read at once */
#define LMT_TRACES 4096        /* power of two */
#define LMT_CALLSITE_STEPS 8   /* places tried for one */
#define LMT_SITE_STEPS 16
#define LMT_SITE_RETRIES 16    /* reads of a site's prototype */
#define LMT_TOP_FRAMES 8       /* frames looked at to find the innermost Lua function */
#define LMT_LEARN_HITS 64      /* hits of a call site during which all places are compared */
#define LMT_RELEARN_MASK 1023  /* …and once in so many hits afterwards */
#define LMT_STACK_WORDS 16     /* stack words searched for a thread */
#define LMT_MAX_UNWIND 16384   /* rows of all processes */
#define LMT_UNWIND_STEPS 4     /* frames undone to find 5.1's program counter */
#define LMT_COVER_LINES 32  /* of 64 bytes (LMT_LINE_BITS), looked back for the start of a block */
#define LMT_MAX_STATES (1u << 20)
#define LMT_RING_BYTES (1u << 22) /* a new stack takes up to 1.1 KiB */
#define LMT_RING_BYTES_CALLS (1u << 26) /* when each call is told */
#define LMT_RING_BYTES_NATIVE (1u << 25) /* …and 33 KiB with its C stack */

struct lmt_config {
	__u32 bucket_mask; /* buckets - 1 */
	__u32 site_mask;
	__u32 state_max;   /* entries of states */
	__u32 follow_all;  /* tell of every exec in the system */
	__u32 floor;       /* do nothing at all: what the probes cost by themselves, for the bench */
	__u32 first_stack; /* entries of sites from here on stand for whole stacks */
	__u32 stack_mask;  /* …their number - 1 */
	__u32 stack_depth; /* frames of a stack */
	__u32 each_call;   /* tell of each allocator call */
	__u32 native;      /* whole stacks carry a copy of the C stack */
	__u32 never;       /* 0; see share_no_stack() */
	__u32 no_storage;  /* threads are refused theirs; for tests of spare_hits */
	__u64 sample_bytes; /* mean bytes between two sampled allocations; 0: none, 1: all */
};

#endif
