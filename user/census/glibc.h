/* SPDX-License-Identifier: MIT */
/*
 * glibc: what lies free in the arenas of the C library's malloc. Part of the stage census. Must
 * not be believed of another malloc: whatever does not look like glibc's counts as in use.
 */
#ifndef LMT_CENSUS_GLIBC_H
#define LMT_CENSUS_GLIBC_H

#include <stdbool.h>
#include <stdint.h>

#include "discover/proc.h"
#include "image.h"
#include "resolve/memread.h"
#include "window.h"

#define GLIBC_CHUNK_HEAD 8 /* bytes of each chunk in use that are malloc's own */

struct glibc_usage {
	uint64_t free_bytes; /* resident */
	uint64_t chunks;     /* in use */
};

/*
 * Adds up what the heaps in [start, end) hold. brk: the range is the program's break, else that of
 * a private mapping. im: a copy to read from, NULL: the memory is read as it is now, through w.
 * False when it does not look like a heap of this malloc, or changed while it was read; *add_to is
 * then as before.
 */
bool glibc_read(struct image *im, struct window *w, uint64_t start, uint64_t end, bool brk,
		struct glibc_usage *add_to);

/* Resident bytes that are free in the heaps of one mapping. Not in the copy: read as it is now. */
uint64_t glibc_free_bytes(struct image *im, const struct memread *mem, const struct proc_map *m);

#endif
