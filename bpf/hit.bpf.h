/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * hit: what a thread keeps from the entry of a probed function to its return, and the room in which
 * the hit at hand is worked on. BPF only.
 *
 * All calls of a program share 512 bytes of stack on kernels before 6.13, so what is large lies here
 * and functions hand on one pointer. By thread and not by CPU, since a program may be preempted by that
 * of another thread, and a return may come on another CPU. A thread is in one program at a time.
 */
#ifndef LMT_HIT_BPF_H
#define LMT_HIT_BPF_H

#include "maps.bpf.h"

#define THREAD_WORDS 12 /* of a lua_State: all members used lie in its first 96 bytes */
#define CI_WORDS 10     /* the largest CallInfo, 5.2.0, is 80 bytes */
#define IN_REGISTERS 6  /* callee-saved registers: rbx rbp r12-r15 */
#define PIECE_WORDS 32

/* A thread found at a hit. */
struct thread {
	__u64 L; /* 0: none, words is not valid */
	__u32 state;
	__u32 foreign; /* runtime of the calling code, when the state is of another copy of Lua */
	__u64 words[THREAD_WORDS];
};

/* The caller of a function: where it goes on, its stack, its callee-saved registers. */
struct caller {
	__u64 ip;
	__u64 sp;
	__u64 reg[8]; /* IN_REGISTERS are used; a power of two, so that a mask bounds an index */
};

/* The innermost Lua frame. */
struct top {
	__u64 pc;
	__u64 func;  /* PUC: stack slot of the function; LuaJIT: the function or its prototype */
	__u64 proto; /* known already; 0: read it through func when the site is new */
	__u32 flags; /* LMT_SITE_… */
	__u32 trace; /* LuaJIT, in machine code: its number */
	__u32 by;    /* tells sites apart whose Lua code is the same; most often 0 */
	__u32 tag;   /* asked for: of the new block, 0 if it has none or is none */
	__u64 L;     /* PUC: the running thread; 0 unknown */
};

/* Arguments of the allocator callback. */
struct call {
	__u64 ud, ptr, osize, nsize;
};

/* A refused request, kept until its thread tries again, raises an error, or goes on. */
struct refused {
	__u64 ptr, osize, nsize;
	__u64 ip;
	__u64 freed; /* bytes the state had freed by then */
	__u64 live;  /* bytes of the heap as the VM counts */
	__u32 state;
	__u32 times;
	__u32 site;
	__u32 shrink; /* the block was to become smaller: told on its own already */
	__u32 by_code; /* seen by where the code went, with the allocator not probed */
	__u32 pad;
};

/* What LuaJIT was doing when memory ran out. */
struct jit_error {
	__u64 exit_ret, sp; /* asked with */
	__u64 vmstate, jit_base, gc_state, in_exit, trace, exit;
	__u32 start;
};

struct hit {
	__u64 busy; /* see hit_of_cpu() */

	/* Kept from entry to return. */
	__u64 cookie;
	__u64 ptr;   /* of a realloc; of a birth: the state's ud */
	__u64 nsize; /* of a birth: layout, and the runtime in the high half */
	__u64 realloc_sp; /* while the allocator moves a block: its stack pointer */
	__u64 open_sp; /* LMT_PROBE_MAY_NEST: stack pointer of the outer call; 0 none */
	__u64 lua_sp; /* while Lua's allocator runs and the C heap is followed: its stack pointer */
	__u64 c_sp;   /* of the caller of the C heap's function that runs; 0 none */
	__u64 c_size, c_out; /* its size; where posix_memalign() puts its result */
	__u64 c_moved; /* what realloc() got; 0 nothing that is followed */
	struct lmt_block c_old;
	__u64 c_L;     /* the Lua thread that allocated last; LuaJIT: 0 */
	__u32 c_state; /* its state */
	__u32 birth_flags; /* of the probe that saw a birth begin */
	struct lmt_block old;
	__u32 had_old;

	/* Of the hit at hand. */
	__u32 layout; /* of the copy of Lua whose allocator is probed here; 0 not asked for yet */
	__u32 asked;  /* that was asked for */
	__u32 places; /* of learn_thread() */
	__u64 result; /* of the function that returns */
	struct caller caller;
	struct thread t;
	struct top top;
	struct call call;
	struct lmt_block block;     /* the new one, or the one that is freed or was */
	__u64 by, arg[2];           /* of a finding; see tell_block() */
	struct refused refused;
	struct jit_error jit;
	struct caller frame, outer; /* while frames are undone */
	__u8 at[8];                 /* where the registers of `outer` are, as lmt_state.pc_at tells it */
	__u64 ciw[CI_WORDS];        /* a CallInfo */
	__u64 closure;              /* 5.1: of the innermost frame */
	__u64 word;                 /* read while the pc is looked for */
	__u64 code;                 /* of the function whose pc it is, and … */
	__u32 sizecode;             /* … its instructions */
	__u64 cframe;               /* LuaJIT: C frame of the thread that runs a trace */
	__u64 piece[PIECE_WORDS];   /* of the target's memory */
	__u64 gg[LMT_GG_WORDS];     /* of LuaJIT's state block */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct hit);
} hits __weak SEC(".maps");

/* One for each CPU: quicker to come by, for a hit that keeps nothing. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hit);
} cpu_hits __weak SEC(".maps");

/* NULL while another thread, which was preempted, is in there. Give it back by room_give(&h->busy). */
static __always_inline struct hit *hit_of_cpu(void)
{
	__u32 zero = 0;
	struct hit *h = bpf_map_lookup_elem(&cpu_hits, &zero);

	return h && room_take(&h->busy) ? h : 0;
}

static __always_inline void *thread_storage(void *map, __u64 flags)
{
	return bpf_task_storage_get(map, bpf_get_current_task_btf(), 0, flags);
}

/*
 * From 6.4 to 6.19 the kernel takes new storage from a list that an interrupt fills again, and of this
 * size there is one at first: a second new thread may have to ask a few times until it comes.
 */
#define MAKE_TRIES 64

#define DEFINE_MAKE(map)                                                                        \
	SUBPROG int make_##map(void)                                                            \
	{                                                                                       \
		for (int i = 0; i < MAKE_TRIES; i++)                                            \
			if (thread_storage(&map, BPF_LOCAL_STORAGE_GET_F_CREATE))               \
				return 1;                                                       \
		return 0;                                                                       \
	}
DEFINE_MAKE(hits)
DEFINE_MAKE(walks)

/*
 * Up to 6.19 a thread that is preempted while the kernel looks at its storage keeps the others of its CPU
 * from having one made (bpf_task_storage_trylock() in kernel/bpf/bpf_task_storage.c). Who is refused gets
 * an entry here, and stays with it to its end: on_exit() deletes it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32); /* tid */
	__type(value, struct hit);
} spare_hits __weak SEC(".maps");

/* What a new entry of spare_hits holds: nothing. Never written. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hit);
} blank_hit __weak SEC(".maps");

/* Was any thread ever refused its storage? Saves the common case a look-up. */
volatile __u32 spare_used __weak = 0;

static __noinline struct hit *spare_hit(void)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();

	return bpf_map_lookup_elem(&spare_hits, &tid);
}

static __noinline struct hit *make_hit(void)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid(), zero = 0;
	struct hit *blank;

	if (!config.no_storage && make_hits())
		return thread_storage(&hits, 0);
	blank = bpf_map_lookup_elem(&blank_hit, &zero);
	if (!blank || bpf_map_update_elem(&spare_hits, &tid, blank, BPF_NOEXIST))
		return 0;
	spare_used = 1;
	return bpf_map_lookup_elem(&spare_hits, &tid);
}

static __always_inline struct hit *hit_get(bool create)
{
	struct hit *h = spare_used ? spare_hit() : 0;

	if (!h)
		h = thread_storage(&hits, 0);
	return h || !create ? h : make_hit();
}

static __always_inline struct walk *walk_get(void)
{
	struct walk *w = thread_storage(&walks, 0);

	return w || !make_walks() ? w : thread_storage(&walks, 0);
}

/*
 * For each program that stands on a uprobe. From 6.13 on the kernel gives functions with 64 bytes of
 * locals and more a stack of their own, one for each CPU: the program of another thread that preempts
 * this one would overwrite it. A program with a tail call gets none (check_max_stack_depth() in the
 * kernel's verifier.c). This one is never made, and the verifier takes it out of the code.
 */
static __always_inline void share_no_stack(void)
{
	if (config.never)
		asm volatile("call 12" : : : "r0", "r1", "r2", "r3", "r4", "r5", "memory");
}

#endif
