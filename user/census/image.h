/* SPDX-License-Identifier: MIT */
/*
 * image: a copy of a target's writable memory, and which 8-byte places in it are objects.
 * Part of the stage census. Must not know Lua, nor where the bytes came from.
 *
 * Each span mirrors one run of mapped memory; pages that the target never touched stay untouched
 * here too. Objects are marked in a bitmap, one bit for 8 bytes; after image_index() the number
 * of an object is its rank among the marks, so that finding it by address needs no hash.
 */
#ifndef LMT_CENSUS_IMAGE_H
#define LMT_CENSUS_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/vec.h"
#include "resolve/memread.h"

#define IMAGE_GRAIN 8u
#define IMAGE_NONE UINT32_MAX

struct image_range {
	uint64_t start, end;
	bool of_file; /* a module's data: static objects, not a heap */
};

typedef vec_of(struct image_range) image_ranges;

struct image_span {
	uint64_t start, end;   /* target addresses, whole pages */
	uint64_t low, high;    /* what the local reservation could hold */
	uint8_t *data;         /* local address of low */
	uint8_t *have;         /* sparse: which chunks are here, from low; NULL: all */
	uint64_t *marks;       /* one bit for each 8 bytes from start; NULL: none yet */
	uint32_t *rank;        /* marks before each word of marks, from first */
	uint32_t first;        /* number of the span's first object */
	bool of_file;
};

struct image {
	vec_of(struct image_span) spans; /* by address */
	size_t last;                     /* the span of the last hit: most hits are neighbours */
	uint64_t copied_bytes;
	/*
	 * Of a process that is mostly not Lua only the chunks that a walk touches are copied: they
	 * are fetched while `fetch` is set, which is for learning which they are; later, image_fill()
	 * copies just these, and touching another is counted.
	 */
	bool sparse;
	const struct memread *fetch;
	uint64_t misses;
};

void image_deinit(struct image *im);

/*
 * Makes spans for the ranges (sorted, disjoint, whole pages), keeping local memory where it fits:
 * memory that is there already is not faulted in again while the target waits. Marks are dropped.
 */
int image_prepare(struct image *im, const image_ranges *ranges);

/*
 * Has the memory ready that a copy made now would take, as far as it is not: getting it from the
 * system takes longer than copying, and the target should not have to wait for that.
 */
void image_populate(struct image *im, const struct memread *mem);

/* Copies the resident pages of every span. False when the time ran out (deadline_ns, 0: none). */
bool image_fill(struct image *im, const struct memread *mem, uint64_t deadline_ns);

/* Sparse: are the chunks of these bytes here, or can they be fetched? */
bool image_ready(struct image *im, struct image_span *s, uint64_t uaddr, uint64_t len);

struct image_span *image_span_slow(struct image *im, uint64_t uaddr);

static inline struct image_span *image_span_of(struct image *im, uint64_t uaddr)
{
	if (im->last < im->spans.n) {
		struct image_span *s = &im->spans.v[im->last];

		if (uaddr - s->start < s->end - s->start)
			return s;
	}
	return image_span_slow(im, uaddr);
}

/* The copy of len bytes at the address, or NULL. Borrowed until the next image_prepare(). */
static inline const uint8_t *image_at(struct image *im, uint64_t uaddr, uint64_t len)
{
	struct image_span *s = image_span_of(im, uaddr);

	if (!s || len > s->end - uaddr || (im->sparse && !image_ready(im, s, uaddr, len)))
		return NULL;
	return s->data + (uaddr - s->low);
}

/* Soon the object there will be looked at and marked. */
static inline void image_prefetch(struct image *im, uint64_t uaddr)
{
	struct image_span *s = image_span_of(im, uaddr);

	if (!s)
		return;
	__builtin_prefetch(s->data + (uaddr - s->low));
	__builtin_prefetch(&s->marks[(uaddr - s->start) / (64 * IMAGE_GRAIN)], 1);
}

/* Forgets all marks. -ENOMEM. */
int image_clear_marks(struct image *im);

enum image_mark { IMAGE_MARKED, IMAGE_WAS_MARKED, IMAGE_OUTSIDE };

/* Marks an object's address (a multiple of 8). */
static inline enum image_mark image_mark(struct image *im, uint64_t uaddr)
{
	struct image_span *s = image_span_of(im, uaddr);
	uint64_t at, bit;

	if (!s || uaddr % IMAGE_GRAIN)
		return IMAGE_OUTSIDE;
	at = (uaddr - s->start) / IMAGE_GRAIN;
	bit = 1ull << (at % 64);
	if (s->marks[at / 64] & bit)
		return IMAGE_WAS_MARKED;
	s->marks[at / 64] |= bit;
	return IMAGE_MARKED;
}

/* Numbers the marked objects by address; their count. */
uint32_t image_index(struct image *im);

/* The number of the object at the address, or IMAGE_NONE. */
static inline uint32_t image_number(struct image *im, uint64_t uaddr)
{
	struct image_span *s = image_span_of(im, uaddr);
	uint64_t at, word, bit;

	if (!s || uaddr % IMAGE_GRAIN)
		return IMAGE_NONE;
	at = (uaddr - s->start) / IMAGE_GRAIN;
	word = s->marks[at / 64];
	bit = 1ull << (at % 64);
	if (!(word & bit))
		return IMAGE_NONE;
	return s->rank[at / 64] + (uint32_t)__builtin_popcountll(word & (bit - 1));
}

/* The number of the last object at or below the address, or IMAGE_NONE. */
uint32_t image_number_below(struct image *im, uint64_t uaddr);

/* Calls fn for each marked address in order, until it returns non-zero; that value or 0. */
int image_each_mark(struct image *im, int (*fn)(void *ctx, uint64_t uaddr), void *ctx);

/* The copy as something to read from; what it lacks is read from `behind` (may be NULL). */
struct image_reader {
	struct image *im;
	const struct memread *behind;
};
struct memread image_memread(struct image_reader *r);

#endif
