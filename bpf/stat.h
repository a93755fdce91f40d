/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * stat: what the BPF side counts when something is not recorded. Contract header.
 *
 *	X(NAME, key in the JSON "lost" object, sentence for people)
 *
 * Append only: the order is the index of the counter.
 */
#ifndef LMT_BPF_STAT_H
#define LMT_BPF_STAT_H

#define LMT_STATS(X)                                                                            \
	X(MAP_FULL, "map_full",                                                                 \
	  "blocks not recorded: the table of live blocks is full (raise --max-blocks)")         \
	X(SITE_FULL, "stack_full", "allocations without a line: the table of sites is full")    \
	X(STATE_FULL, "state_full", "states not told apart: the table of states is full")       \
	X(RING_FULL, "ring_full", "notices lost: the ring buffer was full")                     \
	X(READ_FAULT, "read_fault", "reads of the target's memory that failed")                 \
	X(NO_STATE, "no_state", "allocator calls whose lua_State could not be found")           \
	X(UNMATCHED, "unmatched",                                                               \
	  "frees of blocks nobody saw allocated, in states that were born while tracing")       \
	X(REPLACED, "replaced", "blocks handed out again without a free in between")            \
	X(NO_PENDING, "no_pending", "calls whose arguments could not be kept until the return") \
	X(UNALIGNED, "bad_address", "addresses outside the 47 bits of user space")              \
	X(NOT_HELD, "not_held", "starts of processes and libraries that could not be waited for")      \
	X(STACK_LOST, "stack_lost",                                                             \
	  "sampled stacks not kept: their table or the ring was full (raise --sample-bytes)")    \
	X(CALL_LOST, "calls_untold", "calls not written by --trace: the ring buffer was full")                  \
	X(ENDED_UNSEEN, "ended_unseen", /* counted by user space */                             \
	  "processes that ended before they could be looked at")

enum {
#define LMT_STAT_ENUM(name, key, text) LMT_STAT_##name,
	LMT_STATS(LMT_STAT_ENUM)
#undef LMT_STAT_ENUM
	LMT_STAT_MAX
};

#endif
