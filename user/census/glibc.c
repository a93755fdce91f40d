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
#include "window.h"

#define PAGE 4096ull
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
	struct image *im; /* a whole copy of the memory, or NULL: it is read as it is now */
	struct window *window;
};

/* 16 bytes at a multiple of 16. */
static const uint8_t *look(struct reader *r, uint64_t at)
{
	return r->im ? image_at(r->im, at, GRAIN) : window_at(r->window, at, GRAIN);
}

/* A chunk's own pages are there; inside a large free one they may have been given back. */
static uint64_t present(const struct reader *r, uint64_t at, uint64_t size)
{
	return size < 2 * PAGE ? size : window_present(r->window, at, at + size);
}

/* Follows the chunks to the end. False where they do not lead there: not a heap of this malloc. */
static bool follow(struct reader *r, uint64_t at, uint64_t end, struct glibc_usage *add_to)
{
	uint64_t sum = 0, before = 0, n = 0;

	while (at + GRAIN <= end) {
		const uint8_t *p = look(r, at);
		uint64_t head = p ? walk_u64(p + 8) : 0, size = head & ~(uint64_t)FLAGS;

		if (p && before && !(head & PREV_IN_USE)) {
			sum += present(r, at - before, before);
			n--;
		}
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
		n++;
	}
	add_to->free_bytes += sum;
	add_to->chunks += n;
	return true;
}

/* One heap of an arena of threads. How large the structs at its start are differs by release. */
static bool read_heap(struct reader *r, uint64_t heap, uint64_t limit, struct glibc_usage *add_to)
{
	const uint8_t *p = look(r, heap);
	uint64_t arena = p ? walk_u64(p) : 0, size, from, to;

	p = arena ? look(r, heap + GRAIN) : NULL;
	size = p ? walk_u64(p) : 0;
	if (!size || size % PAGE || size > HEAP_ALIGN || size > limit - heap)
		return false;
	from = heap + HEAP_HEAD;
	to = heap + HEAP_HEAD_MAX;
	if (arena - heap < HEAP_HEAD_MAX) {
		from = (arena + ARENA_BYTES) & ~(uint64_t)(GRAIN - 1);
		to = arena + ARENA_BYTES_MAX;
	}
	for (; from <= to; from += GRAIN)
		if (follow(r, from, heap + size, add_to))
			return true;
	return false;
}

bool glibc_read(struct image *im, struct window *w, uint64_t start, uint64_t end, bool brk,
		struct glibc_usage *add_to)
{
	uint64_t at = (start + HEAP_ALIGN - 1) & ~(HEAP_ALIGN - 1), run, run_end;
	struct reader r = { im && !im->sparse ? im : NULL, w };
	bool any = false;

	if (brk)
		return follow(&r, start, end, add_to);
	while (at < end && memread_resident(w->mem, at, end, &run, &run_end)) {
		if (run <= at)
			any |= read_heap(&r, at, end, add_to);
		at = run > at ? (run + HEAP_ALIGN - 1) & ~(HEAP_ALIGN - 1) : at + HEAP_ALIGN;
	}
	return any;
}

uint64_t glibc_free_bytes(struct image *im, const struct memread *mem, const struct proc_map *m)
{
	struct glibc_usage u = { 0 };
	bool brk = !strcmp(m->path, "[heap]");
	struct window *w;

	if ((m->inode && !brk) || !(m->prot & PROC_W))
		return 0;
	w = window_new(mem, UINT64_MAX);
	if (w)
		glibc_read(im, w, m->start, m->end, brk, &u);
	free(w);
	return u.free_bytes;
}
