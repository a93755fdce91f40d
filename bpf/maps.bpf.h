/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * maps: every map and global, with who writes and who deletes. BPF only.
 *
 * Weak, since each object file that is linked into one defines them. Sizes marked "resized" are
 * set by user space before load (attach/load.c).
 */
#ifndef LMT_MAPS_BPF_H
#define LMT_MAPS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "block.h"
#include "config.h"
#include "event.h"
#include "layout.h"
#include "stat.h"

/*
 * A global subprogram: verified once, with unknown arguments, instead of at each call with each
 * caller's knowledge; hence its pointers are checked for NULL. Weak, since several object files
 * that are linked into one may hold it. The context cannot be passed to one on all kernels.
 */
#define SUBPROG __weak __noinline

/* The ledger. Written and deleted by ledger.bpf.h only. Resized. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct lmt_bucket);
} blocks __weak SEC(".maps");

/* Counters by state. Entries are claimed by either side, wiped by user space. Resized. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct lmt_state);
} states __weak SEC(".maps");

/* Claimed and written by BPF, wiped by user space when their state is. Resized. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct lmt_site);
} sites __weak SEC(".maps");

/* Entries of states that user space has wiped: to be used before new ones. Resized. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1);
	__uint(value_size, sizeof(__u32));
} free_states __weak SEC(".maps");

/* What identifies a state by address: its global_State, its own block, its ud. Both sides. Resized. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64); /* LMT_KEY(slot, address) */
	__type(value, __u32);
} owners __weak SEC(".maps");

/* Entries of states by a hash of their ud. Written by BPF; a stale entry does no harm. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LMT_UD_CACHE);
	__type(key, __u32);
	__type(value, __u32);
} ud_cache __weak SEC(".maps");

/* Written by BPF; user space wipes those of a process that is gone. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, LMT_CALLSITES);
	__type(key, __u32);
	__type(value, struct lmt_callsite);
} callsites __weak SEC(".maps");

/* Cache of LuaJIT's traces, by hash. Written by BPF; what is stale is noticed and read anew. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LMT_TRACES);
	__type(key, __u32);
	__type(value, struct lmt_trace);
} traces __weak SEC(".maps");

/* Frames of Lua 5.1 above the allocator; see walk_lua.bpf.h. Written by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, LMT_MAX_UNWIND);
	__type(key, __u64); /* LMT_KEY(slot, return address) */
	__type(value, struct lmt_unwind);
} unwind __weak SEC(".maps");

/* tgid → slot, and what a slot is. Written by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LMT_SLOT_MAX);
	__type(key, __u32);
	__type(value, __u32);
} slots __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LMT_SLOT_MAX);
	__type(key, __u32);
	__type(value, struct lmt_proc);
} procs __weak SEC(".maps");

/* tgid → LMT_FOLLOW_…. Written by user space; BPF adds children, and drops who ends. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 32768);
	__type(key, __u32);
	__type(value, __u32);
} followed_pids __weak SEC(".maps");

/* Programs that were seen to run Lua. Written by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct lmt_program);
	__type(value, __u32);
} lua_programs __weak SEC(".maps");

/* Allocators that have their probe already: LMT_KEY(slot, address). Written by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u32);
} known_allocators __weak SEC(".maps");

/* Written by user space before the links that name them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LMT_MAX_PROBES);
	__type(key, __u32);
	__type(value, struct lmt_probe);
} probes __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LMT_MAX_LAYOUTS);
	__type(key, __u32);
	__type(value, struct lmt_layout);
} layouts __weak SEC(".maps");

/*
 * Rooms of a CPU: quicker to come by than what a thread has of its own. Another thread that takes its turn on
 * the CPU meanwhile finds them busy.
 */
static __always_inline bool room_take(__u64 *busy)
{
	return !__sync_val_compare_and_swap(busy, 0, 1);
}

static __always_inline void room_give(__u64 *busy)
{
	*(volatile __u64 *)busy = 0;
}

/* Where memory was freed lately, for a millisecond. */
struct free_place {
	__u64 sp, ms;
	__u32 state, site, gc_state, by; /* by: where its caller goes on, low half */
};
#define FREE_PLACES 16

struct free_room {
	__u64 busy;
	__u64 ms;   /* when places were looked for last */
	__u64 made; /* how many then */
	struct free_place places[FREE_PLACES]; /* by stack pointer and caller */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct free_room);
} free_rooms __weak SEC(".maps");

static __always_inline struct free_place *free_place_at(struct free_room *room, __u64 sp, __u64 by)
{
	return &room->places[(sp >> 3 ^ by) & (FREE_PLACES - 1)];
}

/*
 * Where a stack is walked and gathered: too big for the BPF stack, and a program may be preempted
 * by another on the same CPU, hence by thread. Made when a thread is sampled first; dies with it.
 */
#define WALK_THREADS 8
struct walk {
	__u64 L;      /* the thread walked */
	__u64 at;     /* PUC: CallInfo; LuaJIT: frame */
	__u64 end;    /* PUC: base CallInfo; LuaJIT: bottom of the stack */
	__u64 pc;     /* of the frame at `at` where that is known otherwise; else 0 */
	__u64 cframe; /* LuaJIT: C frame of the interpreter that runs the frame at `at` */
	__u64 g;
	__u64 hash;
	__u32 frame_flags; /* for the next frame */
	__u32 n_chain;
	__u64 chain[WALK_THREADS]; /* PUC: the threads that resumed each other, from the main one */
	__u64 words[12];           /* of the thread; THREAD_WORDS */
	__u64 ciw[10];             /* of a frame: CI_WORDS */
	__u64 cframe_top;          /* LuaJIT: the innermost C frame; else 0 */
	__u64 native[8];           /* ip, sp, callee-saved registers; as in struct lmt_native */
	struct lmt_stack_event ev;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct walk);
} walks __weak SEC(".maps");

/* Threads between lua_newstate() and its first allocator call. Written and deleted by BPF. */
struct birth {
	__u64 ud;
	__u32 layout;
	__u32 runtime;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32); /* tid */
	__type(value, struct birth);
} births __weak SEC(".maps");

/* Places that lua_newstate() was called from, each met once: their numbers. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u64);
	__type(value, __u32);
} creators __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LMT_STAT_MAX);
	__type(key, __u32);
	__type(value, __u64);
} stats __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, LMT_RING_BYTES);
} ring __weak SEC(".maps");

/* Set by user space before load. */
const volatile struct lmt_config config __weak = {};

/* Flipped last at the start and first at the end; user space, through mmap. */
volatile __u32 active __weak = 0;
/* When exactly one process is traced: its tgid and slot, which saves a look-up. */
volatile __u32 only_tgid __weak = 0;
volatile __u32 only_slot __weak = 0;
/* Milliseconds since the start; user space keeps it going, so that BPF need not ask the clock. */
volatile __u64 now_ms __weak = 0;
/*
 * LMT_GAPS_…: calls of the allocators are seen in windows only, so what is not known proves nothing;
 * and while none is seen, what is known proves nothing either. User space.
 */
volatile __u32 gaps __weak = 0;

/* luaD_throw() without a memory error: yields and other errors. */
volatile __u64 throws __weak = 0;
/* luaM_*() of a copy of Lua that was without a state, on behalf of one it has made since. */
volatile __u64 own_calls __weak = 0;
/* Calls of C through the FFI, and of watched C functions. */
volatile __u64 c_calls __weak = 0;
/* What C code takes from malloc() is followed. User space. */
volatile __u32 c_heap __weak = 0;
/* While what a run of the allocators' programs costs is measured: user space; and what came of it: BPF. */
volatile __u32 measuring __weak = 0;
volatile __u64 measured_runs __weak = 0;
volatile __u64 measured_ns __weak = 0;
/* Next free entry of states; both sides add to it atomically. User space starts it at 1. */
volatile __u32 next_state __weak = 0;
/* Threads in births, so that the common case costs one load. */
volatile __u32 births_open __weak = 0;

#endif
