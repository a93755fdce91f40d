/* SPDX-License-Identifier: MIT */
/*
 * glibc: what lies free in the arenas of the C library's malloc. Part of the stage census. Must
 * not be believed of another malloc: whatever does not look like glibc's counts as in use.
 */
#ifndef LMT_CENSUS_GLIBC_H
#define LMT_CENSUS_GLIBC_H

#include <stdint.h>

#include "discover/proc.h"
#include "image.h"
#include "resolve/memread.h"

/* Resident bytes that are free in the heaps of one mapping. Not in the copy: read as it is now. */
uint64_t glibc_free_bytes(struct image *im, const struct memread *mem, const struct proc_map *m);

/* Bytes of [from, to) that are resident. */
uint64_t glibc_resident(const struct memread *mem, uint64_t from, uint64_t to);

#endif
