/* SPDX-License-Identifier: MIT */
/*
 * window: small reads of a target's memory as it is now, in ascending order, at the price of few large ones.
 * Nothing is faulted in. Part of the stage census. Must not know Lua.
 */
#ifndef LMT_CENSUS_WINDOW_H
#define LMT_CENSUS_WINDOW_H

#include <stdint.h>

#include "resolve/memread.h"

#define WINDOW_BYTES (64u << 10)

struct window {
	const struct memread *mem; /* borrowed; all else zero at the start */
	uint64_t at, n;            /* what it holds */
	uint8_t bytes[WINDOW_BYTES];
};

/* The len bytes at uaddr, which do not cross a page, or NULL. Borrowed until the next call. */
const uint8_t *window_at(struct window *w, uint64_t uaddr, uint64_t len);

/* Bytes of [from, to) that are resident. */
uint64_t window_resident(const struct memread *mem, uint64_t from, uint64_t to);

#endif
