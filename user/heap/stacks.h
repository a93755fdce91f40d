/* SPDX-License-Identifier: MIT */
/*
 * stacks: which whole stacks lead to a site, and what share of it each has. L5 correlate. Pure.
 *
 * A site's own numbers are exact. Those of its stacks are estimates from sampled allocations;
 * heap_share() divides the exact numbers in their proportion, so that sums stay exact.
 */
#ifndef LMT_HEAP_STACKS_H
#define LMT_HEAP_STACKS_H

#include <stddef.h>
#include <stdint.h>

#include "base/hashmap.h"
#include "base/vec.h"
#include "collect/snapshot.h"

struct heap;
struct heap_site;

/* One stack of a site; estimates for all allocations with it. */
struct heap_stack {
	uint32_t site;  /* position in heap.sites */
	uint32_t stack; /* id in the session's stackdb */
	uint32_t next;  /* of the same site: position + 1; 0 ends */
	uint64_t samples;
	double allocs, alloc_bytes, alloc_variance;
	double live_blocks, live_bytes, live_variance;
	double temporary; /* bytes */
};

struct heap_stacks {
	vec_of(struct heap_stack) v;
	struct hashmap by_key;   /* (site, stack) → position + 1 */
	struct hashmap of_index; /* BPF index → stack id */
	struct hashmap site_of;  /* BPF index of a place → position of its site + 1 */
};

void heap_stacks_deinit(struct heap_stacks *s);

/* The stack behind a BPF index: of sampled allocations, or of the first one of a place. -ENOMEM. */
int heap_set_stack(struct heap *h, uint32_t index, uint32_t stack);

/* The stack behind a BPF index, and the one that keeps most of a site; 0 unknown. */
uint32_t heap_stack_of(const struct heap *h, uint32_t index);
uint32_t heap_main_stack(const struct heap *h, const struct heap_site *s);

/*
 * Bytes of a site that were let go before a collection found them alive: its exact bytes by the
 * share that sampled blocks show.
 */
uint64_t heap_temporary(const struct heap *h, const struct heap_site *s);

/* For heap.c: the index is free for another place or stack. */
void heap_forget_stack(struct heap *h, uint32_t index);

/* For heap.c: takes the stacks of a snapshot in. */
int heap_apply_stacks(struct heap *h, const struct snapshot *snap);

/* What falls to one stack of a site. error_pct: of its bytes, at 95 % confidence. */
struct heap_share {
	uint32_t stack; /* 0: unknown */
	uint64_t samples;
	double error_pct;
	uint64_t live_bytes, live_blocks, old_bytes, allocs, alloc_bytes;
	double growth_bytes_per_s;
};

/*
 * Divides a site among its stacks (its position in heap.sites), the biggest first. At least one
 * share: where nothing was sampled that of the first allocation's stack. Returns how many were
 * written; the caller frees *ret. -ENOMEM.
 */
int heap_share(const struct heap *h, size_t site, struct heap_share **ret);

#endif
