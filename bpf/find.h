/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * find: what the BPF side noticed that may be a fault, with all it knew at that moment. It goes
 * through the ring once, and again whenever its number doubles. Contract header.
 * Kinds are append-only; never renumber.
 */
#ifndef LMT_BPF_FIND_H
#define LMT_BPF_FIND_H

#include "block.h"
#include "event.h"

/* What was noticed; arg[] by kind. User space decides whether it is a finding. */
enum {
	LMT_FIND_STATIC_FREE = 1,   /* free of an address inside a module; arg0 index of the range */
	LMT_FIND_CROSS_RUNTIME = 2, /* arg0 runtime of the calling code, arg1 of the state */
	LMT_FIND_NEAR_OOM = 3,      /* refused, then granted; arg0 bytes freed in between */
	LMT_FIND_OOM = 4,           /* arg0 how often refused, arg1: 1 memory error raised */
	LMT_FIND_SHRINK = 5,        /* the allocator refused nsize <= osize */
	LMT_FIND_SIZE = 6,          /* osize is not the size in block */
	LMT_FIND_DOUBLE_FREE = 7,   /* arg0 ms since the first free; enum lmt_first_free_arg */
	LMT_FIND_FOREIGN_FREE = 8,
	LMT_FIND_CORRUPT_CHUNK = 9, /* arg0 head, arg1: 1 of the chunk behind the block */
	LMT_FIND_CHUNK_FREE = 10,   /* the allocator's own mark says it is free; arg0 head; as DOUBLE_FREE */
	LMT_FIND_ERR_MEM = 11,      /* LuaJIT's memory error; enum lmt_err_mem_arg */
	LMT_FIND_STALE_ARG = 12,    /* C code gets a pointer into freed memory; enum lmt_stale_arg */
	LMT_FIND_MAX,
};

/* arg[] of LMT_FIND_ERR_MEM. */
enum lmt_err_mem_arg {
	LMT_ERR_VMSTATE, /* signed */
	LMT_ERR_JIT_BASE,
	LMT_ERR_GC_STATE,
	LMT_ERR_IN_EXIT, /* 1: inside lj_trace_exit, by the native stack */
	LMT_ERR_TRACE,   /* 0 unknown */
	LMT_ERR_EXIT,    /* ~0 unknown */
	LMT_ERR_START,   /* site of the trace's first instruction */
};

/* arg[] of LMT_FIND_DOUBLE_FREE and LMT_FIND_CHUNK_FREE. */
enum lmt_first_free_arg {
	LMT_FIRST_FREE_SITE = 2, /* 0 unknown */
	LMT_FIRST_FREE_GC,       /* the collector's state + 1; 0 unknown */
};

/* arg[] of LMT_FIND_STALE_ARG. */
enum lmt_stale_arg {
	LMT_STALE_FUNCTION, /* address of the C function */
	LMT_STALE_ARGUMENT, /* 0 … */
	LMT_STALE_BLOCK,    /* address of the freed block */
	LMT_STALE_FREED_MS, /* ago */
	LMT_STALE_FREE_SITE, /* 0 unknown */
	LMT_STALE_FREE_GC,   /* the collector's state + 1; 0 unknown */
};

#define LMT_FIND_ARGS 8

struct lmt_finding {
	struct lmt_event e; /* LMT_EV_FINDING; arg0 what was noticed, arg1 how often by now */
	__u64 key;          /* of what counts as the same */
	__u64 ptr, osize, nsize;
	__u64 ip;           /* where the allocator's or watched function's caller goes on */
	__u64 arg[LMT_FIND_ARGS];
	struct lmt_block block; /* what the ledger held, size 0: nothing */
	__u64 live_bytes;   /* of the state, as the ledger counts */
	__u32 site;         /* where the Lua code was; 0 unknown */
	__u32 probe;        /* index of the probe that was hit */
};

_Static_assert(sizeof(struct lmt_finding) == 48 + 5 * 8 + 64 + 24 + 16, "ABI");

/* Sites that are no allocation's but a finding's, or where blocks are freed (by line and C function). */
#define LMT_TAG_FINDING 0xff
#define LMT_TAG_FREE 0xfd
#define LMT_TAG_IS_PLACE(tag) ((tag) == LMT_TAG_FINDING || (tag) == LMT_TAG_FREE)

/*
 * Where a block was freed, by hash of its key; kept while the FFI is in use. The latest of those that share
 * an entry.
 */
#define LMT_FREE_NOTES 65536 /* power of two */
struct lmt_free_note {
	__u64 key;
	__u32 site;
	__u32 gc_state; /* + 1; 0 unknown */
};

/* A state that is being closed, as its program names it: LMT_PROBE_LABEL. arg0: its handle; 0 none. */
#define LMT_LABEL_BYTES 64
struct lmt_label {
	struct lmt_event e;
	__u8 text[LMT_LABEL_BYTES]; /* zero behind its end */
};

struct lmt_memory_part {
	__u64 uaddr;
	__u64 len; /* 0: could not be read */
};

/* Copies of the target's memory that a line is told by; part[i] describes data<i>. */
struct lmt_memory {
	struct lmt_event e;
	struct lmt_memory_part part[4];
	__u8 data0[128], data1[256], data2[512], data3[1024];
};

/* Address ranges of modules, sorted; BPF searches them for an address that is freed. */
#define LMT_RANGES 1024 /* power of two */
#define LMT_RANGE_END (1ull << 62) /* start and end of those that are not used */
struct lmt_range {
	__u64 start, end;
};
struct lmt_ranges {
	struct lmt_range r[LMT_RANGES];
};

#endif
