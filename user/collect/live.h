/* SPDX-License-Identifier: MIT */
/*
 * live: the kernel's side of a running trace: maps seen through mmap, the ring, the counters.
 * L4 collect. Must not know Lua.
 */
#ifndef LMT_COLLECT_LIVE_H
#define LMT_COLLECT_LIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "attach/attach.h"
#include "base/err.h"
#include "block.h"
#include "config.h"
#include "event.h"
#include "stat.h"

struct live;

/* *ret is the caller's, to be given to live_free(); maps must outlive it. */
int live_new(const struct attach_maps *maps, struct live **ret, struct errmsg *err);
void live_free(struct live *l);

/* Readable when there are events. */
int live_fd(const struct live *l);

/*
 * Hands the waiting events to fn in order, for a turn of at most 50 ms: 0, 1 when more wait, or a
 * negative errno, of fn's too. An LMT_EV_STACK is whole: the event is the head of a struct lmt_stack_event. So are LMT_EV_CALL, LMT_EV_NATIVE and LMT_EV_CREATOR.
 */
int live_drain(struct live *l, int (*fn)(const struct lmt_event *e, void *ctx), void *ctx);

/* The tables themselves, changing under the reader. Borrowed; see block.h for who writes. */
const struct lmt_bucket *live_buckets(const struct live *l, uint32_t *n_ret);
struct lmt_state *live_states(const struct live *l, uint32_t *n_ret); /* entries in use, from 1 */
const struct lmt_site *live_sites(const struct live *l, uint32_t *n_ret);
/* Whole stacks: entry i has the index (number of sites) + i, which sampled blocks carry. */
const struct lmt_site *live_stacks(const struct live *l, uint32_t *n_ret);
/* The place that a block's site stands for: itself, or that of a whole stack. 0: none. */
uint32_t live_site_of(const struct live *l, uint32_t site);
/* Mean bytes between sampled stacks; 0 none. */
uint64_t live_sample_bytes(const struct live *l);

/* Sums the failure counters over the CPUs. */
void live_stats(const struct live *l, uint64_t stats[LMT_STAT_MAX]);

/* Forgets the addresses of a state that is gone, so that nothing new is charged to it. */
void live_forget_owner(struct live *l, uint32_t slot, uint64_t uaddr, uint32_t state);

/* Some blocks of live states of the process, from anywhere in the ledger; their number. */
size_t live_some_blocks(const struct live *l, uint32_t slot, uint64_t *uaddr, uint64_t *size, size_t max);

/* Takes out every block that gone() names, of processes and arenas that are no more. */
void live_purge(struct live *l, bool (*gone)(uint32_t slot, uint32_t state, void *ctx), void *ctx);

/* Forgets every block, also those freed; only while no probe stands on an allocator. */
void live_empty(struct live *l);

/* Frees the entry of a site whose state is gone. */
void live_wipe_site(struct live *l, uint32_t index);

/*
 * Sets the clock by which BPF stamps new blocks: call it as often as their age matters. What it
 * says now: milliseconds since the start.
 */
uint64_t live_tick(struct live *l);

/* The place that made the block that lives at this address now; 0 none, or no block. */
uint32_t live_place_at(const struct live *l, uint32_t slot, uint64_t uaddr);

/* Does the ledger hold a block of the process that lies in [start, end)? */
bool live_any_block(const struct live *l, uint32_t slot, uint64_t start, uint64_t end);

/*
 * Did a block that starts far before it (LMT_COVER_LINES) cover the address ms after the start?
 * One that lives now and was born by then, or one that was freed since.
 */
bool live_covered(const struct live *l, uint32_t slot, uint64_t uaddr, uint64_t ms);

/* How often the BPF side noticed what goes by this key. */
uint64_t live_find_count(const struct live *l, uint64_t key);

/* Nanoseconds of CLOCK_MONOTONIC at the start of the trace. */
uint64_t live_start_ns(const struct live *l);

#endif
