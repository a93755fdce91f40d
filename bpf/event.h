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
	LMT_EV_STATE_CLOSING = 2, /* lua_close() entered; state 0: of one that is not in the table */
	LMT_EV_STATE_DEAD = 3,    /* its block was freed */
	LMT_EV_STATE_UNKNOWN = 4, /* arg0 main thread, arg1 global_State: not in the table */
	LMT_EV_SITE = 5,          /* state, arg0: index of a new site, arg1: its first block */
	LMT_EV_NEWSTATE = 6,      /* lua_newstate() entered; state: layout, arg0 allocator, arg1 its ud,
				     pad: number of the place that calls it, 0 not known */
	LMT_EV_EXEC = 7,          /* the process runs another program now; slot 0: not traced yet;
				     state: 1 if the program is known to run Lua; arg0, arg1: comm */
	LMT_EV_FORK = 8,          /* arg0: tgid of the child */
	LMT_EV_MAPS = 9,          /* the dynamic loader mapped or unmapped libraries */
	LMT_EV_STACK = 12,        /* struct lmt_stack_event; arg0: index of a site whose stack it is,
				     arg1: its first block */
	LMT_EV_FINDING = 16,      /* struct lmt_finding of find.h */
	LMT_EV_FFI = 17,          /* the process calls C through LuaJIT's FFI; once */
	LMT_EV_MEMORY = 18,       /* struct lmt_memory of find.h; arg0: the site it is for */
	LMT_EV_CALL = 19,         /* struct lmt_call_event; only when each call is asked for */
	LMT_EV_LABEL = 20,        /* struct lmt_label of find.h */
	LMT_EV_NATIVE = 32,       /* struct lmt_native; arg0: the site whose LMT_EV_STACK follows from
				     the same thread */
	LMT_EV_CREATOR = 33,      /* struct lmt_native; arg0: number of a place that calls lua_newstate() */
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

/* What a frame of a stack is. */
enum {
	LMT_FRAME_LUA = 1,     /* at: prototype; pc as saved, 0 unknown */
	LMT_FRAME_C = 2,       /* at: C function */
	LMT_FRAME_BUILT_IN = 3, /* LuaJIT; at: function object of a library function */
	LMT_FRAME_JIT = 4,     /* the frames in a trace; pc: return address into its machine code */
	LMT_FRAME_KIND = 7,
	LMT_FRAME_TAIL = 8,    /* was tail called: its callers up to the next frame are gone */
	LMT_FRAME_BASE = 16,   /* the frame a trace runs on top of; its pc is in the trace */
	LMT_FRAME_THREAD = 32, /* innermost of the thread that resumed those before */
	LMT_FRAME_HOOKED = 64, /* the frame before is a debug hook's */
	LMT_FRAME_ENTERED = 128, /* LuaJIT: those before run in a C frame of the interpreter of their own */
};

#define LMT_STACK_FRAMES 64

struct lmt_frame {
	__u64 at; /* bits 0-47 address, 48-55 LMT_FRAME_… */
	__u64 pc;
};

#define LMT_FRAME_ADDR(f) ((f)->at & ((1ull << 48) - 1))
#define LMT_FRAME_FLAGS(f) ((__u32)((f)->at >> 48) & 0xff)

enum {
	LMT_STACK_TRUNCATED = 1,
	LMT_STACK_NATIVE = 2, /* its C stack was sent before it */
};

/* A Lua stack, innermost frame first. Only `n` frames are sent. */
struct lmt_stack_event {
	struct lmt_event e;
	__u32 n;
	__u32 flags; /* LMT_STACK_… */
	struct lmt_frame frame[LMT_STACK_FRAMES];
};

/* What an allocator call came to. */
enum { LMT_CALL_ALLOC = 1, LMT_CALL_REALLOC = 2, LMT_CALL_FREE = 3, LMT_CALL_REFUSED = 4 };

/* arg0: the block handed out, or freed; arg1: the block that a realloc was asked to resize, or 0. */
struct lmt_call_event {
	struct lmt_event e;
	__u64 osize; /* bytes; of a free, what was freed */
	__u64 nsize;
	__u32 site;  /* 0 unknown; of a free, where the block came from */
	__u32 op;    /* LMT_CALL_… */
};

#define LMT_NATIVE_PART 2048u /* divides a page: read whole or not at all */
#define LMT_NATIVE_BYTES 32768u

/*
 * The C side of a stack: where the allocator's caller goes on, its registers, and what lies on
 * its stack. User space unwinds it.
 */
struct lmt_native {
	struct lmt_event e;
	__u64 ip, sp;
	__u64 reg[6];  /* rbx rbp r12-r15 */
	__u64 cframe;  /* LuaJIT: L->cframe; else 0 */
	__u64 start;   /* address of data: sp or a little below it */
	__u64 len;     /* of data that could be read */
	__u8 data[LMT_NATIVE_BYTES];
};

_Static_assert(sizeof(struct lmt_event) == 48, "ABI");
_Static_assert(sizeof(struct lmt_call_event) == 72, "ABI");
_Static_assert(sizeof(struct lmt_native) == 48 + 11 * 8 + LMT_NATIVE_BYTES, "ABI");
_Static_assert(sizeof(struct lmt_frame) == 16, "ABI");
_Static_assert(sizeof(struct lmt_stack_event) == 56 + 16 * LMT_STACK_FRAMES, "ABI");

#endif
