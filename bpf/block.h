/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * block: what the maps hold: live blocks, states, sites, probes. Contract header.
 *
 * Ownership: `blocks`, `sites` and the counters of `states` are written by BPF only; user space
 * reads them through mmap. User space creates the entries of states that predate the attach and
 * counts up gc_cycle, as BPF does.
 */
#ifndef LMT_BPF_BLOCK_H
#define LMT_BPF_BLOCK_H

#ifndef __bpf__
#include <linux/types.h>
#endif

/*
 * A key names a block: process slot and address. Bit 63 marks a slot that is claimed but whose
 * value is not yet written: readers skip it.
 */
#define LMT_ADDR_BITS 48
#define LMT_ADDR_MASK ((1ull << LMT_ADDR_BITS) - 1)
#define LMT_KEY(slot, addr) ((__u64)(slot) << LMT_ADDR_BITS | ((addr) & LMT_ADDR_MASK))
#define LMT_KEY_SLOT(key) ((__u32)((key) >> LMT_ADDR_BITS) & 0x7fffu)
#define LMT_KEY_BUSY (1ull << 63)
#define LMT_SLOT_MAX 4096 /* processes traced at once; slot 0 is never used */

/* What C code took from malloc() while a state's C function ran is in the ledger too, apart. */
#define LMT_C_KEY(slot, addr) LMT_KEY((slot) + LMT_SLOT_MAX, addr)
#define LMT_KEY_IS_C(key) (LMT_KEY_SLOT(key) >= LMT_SLOT_MAX)

/* How a process is followed besides being traced. */
enum {
	LMT_FOLLOW = 1,      /* tell of its forks and execs; its children inherit this */
	LMT_FOLLOW_HOLD = 2, /* we started it: stop it at such moments, user space lets it go on */
};

/* The file of a program, as the kernel numbers it. */
struct lmt_program {
	__u64 inode;
	__u64 dev; /* major << 20 | minor */
};

/* One live block. Sizes above 2^48 cannot be: user space ends below. */
struct lmt_block {
	__u64 size_tags; /* bits 0-47 bytes, 48-55 tag, 56-63 tag of the state's block before */
	__u32 site;      /* index into sites; 0 none */
	__u32 state;     /* index into states */
	__u64 born;      /* bits 0-35 ms since start, 36-63 GC cycle of the state */
};

#define LMT_SIZE_MASK ((1ull << 48) - 1)
#define LMT_BLOCK_SIZE(b) ((b)->size_tags & LMT_SIZE_MASK)
#define LMT_BLOCK_TAG(b) ((__u32)((b)->size_tags >> 48) & 0xffu)
#define LMT_BLOCK_PREV_TAG(b) ((__u32)((b)->size_tags >> 56))
#define LMT_BORN_MS_BITS 36
#define LMT_BORN_MS_MASK ((1ull << LMT_BORN_MS_BITS) - 1)
#define LMT_CYCLE_MASK ((1u << 28) - 1)
#define LMT_BLOCK_MS(b) ((b)->born & LMT_BORN_MS_MASK)
#define LMT_BLOCK_CYCLE(b) ((__u32)((b)->born >> LMT_BORN_MS_BITS))

/*
 * A block that was freed leaves its mark in the place it held, until that is used again: born is
 * its key with bit 63 set, and the free's time in ms takes the place of the tags (low 16 bits) and
 * of the upper 12 bits of state. It answers "what was here?" at no cost to the free.
 */
#define LMT_FREED(key) ((key) | 1ull << 63)
#define LMT_FREED_STATE_BITS 20
#define LMT_FREED_MS_MASK ((1u << 28) - 1)
#define LMT_FREED_MS(b) \
	((__u32)((b)->size_tags >> 48) | ((b)->state >> LMT_FREED_STATE_BITS) << 16)
#define LMT_FREED_STATE(b) ((b)->state & ((1u << LMT_FREED_STATE_BITS) - 1))

/*
 * The ledger is an array of buckets. A key may live in either of two buckets chosen by hash and
 * goes into the emptier: with eight places each no block is refused up to a load far above the
 * half that the table is sized for. Keys come first: a search touches one cache line a bucket.
 */
#define LMT_LINE_BITS 6 /* blocks that start within 64 bytes share a bucket */
#define LMT_BUCKET_SLOTS 8
struct lmt_bucket {
	__u64 key[LMT_BUCKET_SLOTS];
	struct lmt_block block[LMT_BUCKET_SLOTS];
};

/* What an allocation tag (osize when ptr is NULL) can be; anything above is LMT_TAG_OTHER. */
#define LMT_TAG_OTHER 15
#define LMT_TAG_C 0xfe /* sites of the C heap */

/* lmt_state.flags */
enum {
	LMT_STATE_USED = 1,
	LMT_STATE_PROCESS = 2, /* not a state: what could not be attributed in its process */
	LMT_STATE_ARENA = 4,   /* LuaJIT's own allocator: its memory dies as a whole */
	LMT_STATE_CLOSING = 8, /* lua_close() was entered */
	LMT_STATE_DEAD = 16,   /* its own block was freed */
	LMT_STATE_BLIND = 32,  /* got memory that is in use as far as we saw: not all frees reach us */
};

/* LuaJIT's arena is unmapped as a whole: what the ledger still holds of it is not there any more. */
#define LMT_ARENA_GONE(flags) \
	((flags) & LMT_STATE_ARENA && (flags) & (LMT_STATE_CLOSING | LMT_STATE_DEAD))

/*
 * live bytes in the ledger = alloc_bytes + adopted_bytes - free_bytes - lost_bytes.
 * alloc_bytes: new blocks and the growth of old ones. free_bytes: freed blocks and what others
 * shrank by, as far as their allocation was seen.
 */
struct lmt_state {
	/* What every event touches: one cache line. */
	__u64 g;      /* global_State; 0 for LMT_STATE_PROCESS */
	__u32 layout; /* index into layouts */
	__u32 slot;
	__u32 flags;
	__u32 gc_cycle; /* GC cycles: full ones that began, others as user space saw them */
	__u64 allocs;
	__u64 alloc_bytes;
	__u64 frees;
	__u64 free_bytes;
	__u32 last_tag; /* of the latest new block */
	__u32 sample_left; /* bytes until the next sampled allocation; 0: not drawn yet */

	__u64 main;  /* main lua_State */
	__u64 block; /* the block it lies in, with its global_State */
	__u64 ud;    /* the allocator's first argument */
	__u64 reallocs;
	__u64 failures;
	__u64 born_ns;   /* CLOCK_MONOTONIC; 0: before the attach */
	__u64 close_ns;  /* lua_close(), or the end of its block; 0: open */
	__u64 old_frees; /* frees of blocks that predate the attach; also in frees */
	__u64 old_free_bytes;
	__u64 adopted_bytes; /* such blocks that were reallocated and are known since */
	__u64 adopted_blocks;
	__u64 lost_blocks; /* not recorded: the ledger was full */
	__u64 lost_bytes;
	__u32 runtime; /* id of the copy of Lua that made it; 0 unknown */
	/* Where the pc is while a table is made, as learned; see walk_lua.bpf.h. */
	__u32 pc_ret;    /* low half of the return address into luaV_execute(); 0: not learned */
	__u8 pc_ret_at;  /* where that is, as pc_at; 255: the caller of the allocator itself */
	__u8 pc_at;      /* where the pc is: 0-5 register, then words of that caller's stack */
	__s16 table_pc;  /* of the latest table: instructions behind… */
	__u32 table_saved; /* …the pc that was stored then (low half) */
	__u64 c_takes; /* blocks that C code took from malloc() meanwhile, where that is followed */
	/* LuaJIT: functions that ran lately, by address, until they are freed; see lj_proto(). */
#define LMT_STATE_FUNCS 4
	__u64 func[LMT_STATE_FUNCS];
	__u64 proto[LMT_STATE_FUNCS]; /* 0: not made of Lua code */
};

/* lmt_site.flags */
enum {
	LMT_SITE_JIT = 1,   /* pc is a return address in machine code */
	LMT_SITE_BELOW = 2, /* a C or built-in function lies above the Lua frame */
	LMT_SITE_NO_LUA = 4, /* no Lua function on the stack */
	LMT_SITE_STACK = 8,  /* a whole stack; see struct lmt_site */
	LMT_SITE_STALE = 16, /* the pc may be that of an earlier line of the function */
	LMT_SITE_TOLD = 32,  /* no allocation's: its whole stack was sent */
};

/*
 * Where allocations come from: the innermost Lua frame and the kind of block, per state. The pc
 * alone names the place: it points into the code of one prototype or of one trace. Prototype and
 * trace are read when a place is met for the first time.
 *
 * From config.first_stack on an entry stands for a whole stack (LMT_SITE_STACK): blocks that were
 * sampled carry its index, and `parent` is the index of their place. The place counts them too.
 * Its own counters are estimates for all allocations with this stack, each sampled one weighted
 * by 1/p where p = 1 - exp(-size / config.sample_bytes).
 */
struct lmt_site {
	__u64 key;    /* hash of state, tag, pc and flags; 0: empty */
	__u64 allocs;      /* STACK: sum of 1/p, in 65536ths */
	__u64 alloc_bytes; /* new blocks and growth; STACK: sum of bytes/p */
	union {
		__u64 pc;       /* as saved: behind the running instruction */
		__u64 variance; /* STACK: of alloc_bytes: sum of bytes^2 (1 - p)/p^2 */
	};
	union {
		__u64 proto;   /* JIT: the one `near` counts from, else at the trace's base; 0 unknown */
		__u64 samples; /* STACK: allocations sampled */
	};
	__u32 state;
	__u32 tag;
	__u16 flags;
	__u16 retries; /* the prototype could not be read so often: its page was on the move */
	union {
		__u32 parent; /* STACK */
		__u32 near;   /* JIT: from proto to a pc thereabouts; 0 unknown */
	};
	union {
		__u64 reallocs;  /* times a block grew there; TAG_C: where the C code goes on */
		__u64 temporary; /* STACK: sum of bytes/p of blocks that were freed young */
	};
};

/* The pc as saved, or in machine code one thereabouts; 0 unknown. */
#define LMT_SITE_PC(s) \
	(!((s)->flags & LMT_SITE_JIT) ? (s)->pc : (s)->near ? (s)->proto + (s)->near : 0)

/* What a uprobe stands on; its index is the link's cookie. */
enum {
	LMT_PROBE_ANY = 1,  /* allocator callback: f(ud, ptr, osize, nsize) */
	LMT_PROBE_MALLOC,   /* a branch of it: only new blocks */
	LMT_PROBE_REALLOC,
	LMT_PROBE_FREE,
	LMT_PROBE_NEWSTATE, /* lua_newstate(f, ud) */
	LMT_PROBE_CLOSE,    /* lua_close(L) */
	LMT_PROBE_MAPS,     /* the dynamic loader's call for debuggers, when its list has changed */
	LMT_PROBE_THROW,    /* luaD_throw(L, code) */
	LMT_PROBE_ERR_MEM,  /* lj_err_mem(L) */
	LMT_PROBE_FFI_CALL, /* lj_vm_ffi_call(CCallState *) */
	LMT_PROBE_C_CALL,   /* a C function whose pointer arguments are looked at */
	LMT_PROBE_C_HEAP,   /* malloc() or one of its kin; args: LMT_C_… */
	LMT_PROBE_FOREIGN,  /* luaM_*(L, …) of a copy of Lua without a state; args: how many are known */
	LMT_PROBE_REFUSED,  /* a call made only once the allocator has said no; reg_ud is L, see LMT_REG_STACK */
	LMT_PROBE_RETRIED,  /* it was asked again, and the answer is in reg_ptr */
	LMT_PROBE_FULL_GC,  /* a whole collection of L begins; args: 1 in lua_gc(L, what), which does more */
};

/* What a function of the C heap does; its first arguments are in reg_ud … reg_nsize. */
enum {
	LMT_C_MALLOC = 1,     /* (size) */
	LMT_C_CALLOC,         /* (n, size) */
	LMT_C_REALLOC,        /* (ptr, size) */
	LMT_C_ALIGNED,        /* (alignment, size) */
	LMT_C_POSIX_MEMALIGN, /* (&ptr, alignment, size) */
	LMT_C_FREE,           /* (ptr) */
	LMT_C_REALLOCARRAY,   /* (ptr, n, size) */
};

enum {
	LMT_PROBE_UD_IS_STATE = 1, /* each state has an ud of its own */
	LMT_PROBE_MAY_NEST = 2,    /* may call another probed allocator: count the outer call */
	LMT_PROBE_ARENA = 4,       /* LuaJIT's own allocator */
	LMT_PROBE_PLAIN_REGS = 8,  /* ptr, osize, nsize where the calling convention puts them */
	LMT_PROBE_LABEL = 32, /* CLOSE: the state's name is in its global SERVICE_NAME (skynet) */
	LMT_PROBE_CHECK_CHUNK = 16, /* look at the chunk header of what is freed: FFI is in use */
};

/* Registers by number (rax rcx rdx rbx rsp rbp rsi rdi r8…); LMT_REG_LOST: not to be had. */
#define LMT_REG_LOST 0xff
/* In LMT_PROBE_REFUSED also: words from the stack pointer on; zero. */
#define LMT_REG_STACK 16
#define LMT_REG_ZERO 0xfe
struct lmt_probe {
	__u32 layout;
	__u8 kind;
	__u8 flags;
	__u8 reg_ud; /* C_CALL, C_HEAP, FOREIGN: reg_ud … reg_nsize are the first four arguments; in NEWSTATE reg_ptr is f; in CLOSE and FULL_GC reg_ptr is L; THROW: reg_osize is code; FULL_GC: reg_osize is what */
	__u8 reg_ptr;
	__u8 reg_osize;
	__u8 reg_nsize;
	__u8 runtime; /* id in its process of the copy of Lua it stands in; 0: in none */
	__u8 pushed;  /* bytes between the stack pointer and the return address */
	__u8 args;    /* C_CALL: which arguments are pointers, by bit; C_HEAP: LMT_C_…; FOREIGN: how many there are */
	__u8 pad[3];
	__u64 exit_ret; /* ERR_MEM: where lj_trace_exit returns to; 0 unknown */
};

/*
 * One place in the target's code that calls the allocator, by return address, and where the
 * caller keeps its state. Places: 0-5 rbx rbp r12-r15, from 6 on words of the caller's stack.
 * g_place and L_place are known from the code (user space); for other callers the places that
 * held a thread each time so far are gathered in mask, and the first of them is `place`.
 */
#define LMT_PLACE_NONE 0xff
struct lmt_callsite {
	__u64 key;   /* LMT_KEY(slot, return address) */
	__u32 state; /* found last */
	__u32 mask;
	__u32 hits;
	__u8 place;
	__u8 g_place;
	__u8 L_place;
	__u8 known; /* entered by user space: the runtime's id; g_place and L_place are valid */
	__u32 layout; /* of the copy of Lua whose allocator was called; 0: not needed so far */
	__u32 pad;
};

#define LMT_CALLSITE_HASH(key) ((__u32)((key) * 0x9E3779B97F4A7C15ull >> 40))

/*
 * How to undo the frame that a call returns into, keyed like a call site by return address. The
 * frame ends at rsp (or rbp) + bytes; the word below its end is the return address, and each
 * callee-saved register is saved word[i] words below the end, or unchanged where that is 0.
 */
struct lmt_unwind {
	__u16 bytes;
	__u8 by_rbp;
	__u8 pad;
	__u8 word[6];
	__u8 pad2[2];
};

/* LuaJIT: machine code and stack of a trace, as last read. */
struct lmt_trace {
	__u64 key; /* state << 32 | trace number */
	__u64 mcode;
	__u32 size;
	__u32 spadjust;
};

struct lmt_proc {
	__u32 tgid;  /* 0: slot is free */
	__u32 state; /* its LMT_STATE_PROCESS entry */
};

_Static_assert(sizeof(struct lmt_block) == 24, "ABI");
_Static_assert(sizeof(struct lmt_bucket) == 256, "ABI");
_Static_assert(sizeof(struct lmt_state) == 256, "ABI");
_Static_assert(sizeof(struct lmt_site) == 64, "ABI");
_Static_assert(sizeof(struct lmt_probe) == 24, "ABI");
_Static_assert(sizeof(struct lmt_callsite) == 32, "ABI");
_Static_assert(sizeof(struct lmt_unwind) == 12, "ABI");
_Static_assert(sizeof(struct lmt_trace) == 24, "ABI");
_Static_assert(sizeof(struct lmt_program) == 16, "ABI");

#endif
