/* SPDX-License-Identifier: MIT */
/* limit: what limit an allocator has, by what it refused. */
#ifndef LMT_HEAP_LIMIT_H
#define LMT_HEAP_LIMIT_H

#include <stdint.h>

/*
 * People set limits to round numbers. The one, in bytes, that lets a heap of `held` be and not one
 * of `refused`; 0 where none is round enough to be no coincidence.
 */
uint64_t limit_between(uint64_t held, uint64_t refused);

#endif
