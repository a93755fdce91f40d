/* SPDX-License-Identifier: MIT */
/*
 * window: small reads of a target's memory as it is now, in ascending order, at the price of few
 * large ones. Nothing is faulted in. Part of the stage census. Must not know Lua.
 */
#ifndef LMT_CENSUS_WINDOW_H
#define LMT_CENSUS_WINDOW_H

#include <stdint.h>

#include "resolve/memread.h"

#define WINDOW_BYTES (64u << 10)

struct window {
	const struct memread *mem; /* borrowed */
	uint64_t left;             /* bytes that may still be read: what is read may lead in circles */
	uint64_t at, n;            /* what it holds */
	uint8_t bytes[WINDOW_BYTES];
};

/*
 * The len bytes at uaddr, which do not cross a page, or NULL, also once too much was read. Borrowed
 * until the next call.
 */
const uint8_t *window_at(struct window *w, uint64_t uaddr, uint64_t len);

/* NULL: out of memory. For free(). */
struct window *window_new(const struct memread *mem, uint64_t left);

/* Bytes of [from, to) that are resident; what finding out costs is taken off what may be read. */
uint64_t window_present(struct window *w, uint64_t from, uint64_t to);

/* The same without a window. */
uint64_t window_resident(const struct memread *mem, uint64_t from, uint64_t to);

#endif
