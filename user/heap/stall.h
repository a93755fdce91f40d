/* SPDX-License-Identifier: MIT */
/*
 * stall: nothing is collected, since the program has stopped the collector. L5 correlate.
 * Pure.
 */
#ifndef LMT_HEAP_STALL_H
#define LMT_HEAP_STALL_H

#include "heap.h"

/*
 * What the heap of the state grows by, held or not: its places that make a part worth naming of it
 * are called growing. bytes_per_s: of the heap; scale: calls of the allocators for each that was
 * seen, 0: the ledger is whole; seconds: since the start.
 */
void heap_apply_stall(struct heap *h, struct heap_state *st, double bytes_per_s, double scale,
			   double seconds);

#endif
