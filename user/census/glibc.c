/* SPDX-License-Identifier: MIT */
/*
 * malloc/malloc.c and arena.c of glibc 2.26 and later. Chunks follow each other; each has its size
 * and flags in the word before its memory, and tells whether the one before it is in use. The main
 * arena is the program's break; the others begin with a heap_info at a multiple of 64 MiB, the
 * first of each also with the arena. What threads keep for themselves (tcache, fast bins) counts as
 * in use there.
 */
#include "glibc.h"

#include <stdlib.h>
#include <string.h>

#include "walk.h"

#define PAGE 4096ull
#define WINDOW (64u << 10)
#define FLAGS 7u
#define PREV_IN_USE 1u
#define GRAIN 16
#define SMALLEST 32
#define HEAP_ALIGN (64ull << 20)
#define HEAP_HEAD 32       /* the least that a heap_info takes */
#define HEAP_HEAD_MAX 96
#define ARENA_BYTES 2176   /* the least that a malloc_state takes */
#define ARENA_BYTES_MAX 2304
#define FENCE 64           /* room of the last two, empty chunks of a full heap */

struct reader {
	struct image *im;
	const struct memread *mem;
	uint64_t at, n; /* what the window holds */
	uint8_t window[WINDOW];
};

uint64_t glibc_resident(const struct memread *mem, uint64_t from, uint64_t to)
{
	uint64_t run, end, sum = 0;

	while (from < to && memread_resident(mem, from & ~(PAGE - 1), to, &run, &end)) {
		run = run < from ? from : run;
		end = end > to ? to : end;
		if (end <= run)
			break;
		sum += end - run;
		from = end;
	}
	return sum;
}

/* 16 bytes at a multiple of 16. */
static const uint8_t *look(struct reader *r, uint64_t at)
{
	uint64_t page = at & ~(PAGE - 1), run, end;

	if (!r->im->sparse)
		return image_at(r->im, at, GRAIN);
	if (at - r->at >= r->n) {
		r->n = 0;
		if (!memread_resident(r->mem, page, page + WINDOW, &run, &end) || run > page)
			return NULL;
		r->at = page;
		r->n = r->mem->read(r->mem->ctx, page, r->window,
				    end - page < WINDOW ? end - page : WINDOW);
	}
	return at - r->at + GRAIN <= r->n ? r->window + (at - r->at) : NULL;
}

/* A chunk's own pages are there; inside a large free one they may have been given back. */
static uint64_t present(const struct reader *r, uint64_t at, uint64_t size)
{
	return size < 2 * PAGE ? size : glibc_resident(r->mem, at, at + size);
}

/* Follows the chunks to the end. False where they do not lead there: not a heap of this malloc. */
static bool follow(struct reader *r, uint64_t at, uint64_t end, uint64_t *free_ret)
{
	uint64_t sum = 0, before = 0;

	while (at + GRAIN <= end) {
		const uint8_t *p = look(r, at);
		uint64_t head = p ? walk_u64(p + 8) : 0, size = head & ~(uint64_t)FLAGS;

		if (p && before && !(head & PREV_IN_USE))
			sum += present(r, at - before, before);
		if (p && size && end - at <= FENCE && size < SMALLEST)
			break; /* closed by empty chunks: the arena went on in another heap */
		if (!p || size < SMALLEST || size % GRAIN || size > end - at)
			return false;
		if (at + size == end) { /* the top: never handed out, or given back */
			sum += present(r, at, size);
			break;
		}
		before = size;
		at += size;
	}
	*free_ret = sum;
	return true;
}

/* One heap of an arena of threads. How large the structs at its start are differs by release. */
static uint64_t free_of_heap(struct reader *r, uint64_t heap, uint64_t limit)
{
	const uint8_t *p = look(r, heap);
	uint64_t arena = p ? walk_u64(p) : 0, size, from, to, sum;

	p = arena ? look(r, heap + GRAIN) : NULL;
	size = p ? walk_u64(p) : 0;
	if (!size || size % PAGE || size > HEAP_ALIGN || size > limit - heap)
		return 0;
	from = heap + HEAP_HEAD;
	to = heap + HEAP_HEAD_MAX;
	if (arena - heap < HEAP_HEAD_MAX) {
		from = (arena + ARENA_BYTES) & ~(uint64_t)(GRAIN - 1);
		to = arena + ARENA_BYTES_MAX;
	}
	for (; from <= to; from += GRAIN)
		if (follow(r, from, heap + size, &sum))
			return sum;
	return 0;
}

uint64_t glibc_free_bytes(struct image *im, const struct memread *mem, const struct proc_map *m)
{
	struct reader *r;
	uint64_t sum = 0, at;

	if ((m->inode && strcmp(m->path, "[heap]")) || !(m->prot & PROC_W))
		return 0;
	r = malloc(sizeof(*r));
	if (!r)
		return 0;
	r->im = im;
	r->mem = mem;
	r->at = r->n = 0;
	if (!strcmp(m->path, "[heap]")) {
		if (!follow(r, m->start, m->end, &sum))
			sum = 0;
	} else {
		at = (m->start + HEAP_ALIGN - 1) & ~(HEAP_ALIGN - 1);
		for (; at < m->end; at += HEAP_ALIGN)
			sum += free_of_heap(r, at, m->end);
	}
	free(r);
	return sum;
}
