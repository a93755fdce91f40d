/* SPDX-License-Identifier: MIT */
/*
 * chunks: what LuaJIT's built-in allocator has handed out, and what lies free, out of the image.
 * Part of the stage census. Nothing is told of a state with another allocator.
 *
 * The allocator's state (lj_alloc.c, a dlmalloc) begins its first segment and is the callback's
 * first argument; chunks follow each other from the start of a segment, each with its size and two
 * flags in the word before the memory: is it in use, is the one before it in use.
 */
#ifndef LMT_CENSUS_CHUNKS_H
#define LMT_CENSUS_CHUNKS_H

#include "walk.h"
#include "window.h"

#define CHUNKS_SEGMENTS 4096

struct chunk_segment {
	uint64_t start, end;
	uint64_t *free; /* one bit for each 8 bytes: free or never handed out */
};

struct chunks {
	struct chunk_segment *segment; /* by address */
	size_t n;                      /* 0: not this allocator */
	uint64_t total_bytes, free_bytes, used_bytes; /* of the segments */
};

int chunks_read(struct chunks *c, const struct walk *w);
void chunks_deinit(struct chunks *c);

struct chunks_usage {
	uint64_t chunks;     /* handed out; large blocks have mappings of their own and are not in here */
	uint64_t free_bytes; /* resident */
};

#define CHUNK_HEAD 8 /* bytes of each chunk that are the allocator's own, before its memory */

/*
 * The same of a live target, without a copy. state: the allocator's, g.allocd. False when it is
 * another allocator, or changed while it was read; *add_to is then as before.
 */
bool chunks_measure(struct window *w, uint64_t state, struct chunks_usage *add_to);

bool chunks_hold(const struct chunks *c, uint64_t uaddr);
bool chunks_is_free(const struct chunks *c, uint64_t uaddr);

#endif
