/* SPDX-License-Identifier: MIT */
#include "image.h"

#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/clock.h"

#define PAGE 4096ull
#define CHUNK (1ull << 20) /* copied at once: small enough to look at the clock between */
#define SPARSE (64ull << 10) /* of a process that is mostly not Lua, what is copied at once */
#define BIG (8ull << 20)
#define ROOM (16ull << 20) /* reserved on both sides, for a heap that grows between copies */

static void span_deinit(struct image_span *s)
{
	if (s->data)
		munmap(s->data, s->high - s->low);
	free(s->have);
	free(s->marks);
	free(s->rank);
	*s = (struct image_span){ 0 };
}

void image_deinit(struct image *im)
{
	vec_each(s, &im->spans)
		span_deinit(s);
	vec_deinit(&im->spans);
	*im = (struct image){ 0 };
}

static int span_reserve(struct image_span *s, uint64_t start, uint64_t end, bool sparse)
{
	uint64_t room = ROOM + (end - start) / 4 / PAGE * PAGE;
	void *p;

	*s = (struct image_span){ .start = start, .end = end };
	s->low = start > room ? start - room : 0;
	s->high = end + room;
	p = mmap(NULL, s->high - s->low, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return -ENOMEM;
	s->data = p;
	s->have = calloc((s->high - s->low) / SPARSE + 2, 1);
	if (!s->have) {
		munmap(p, s->high - s->low);
		return -ENOMEM;
	}
	if (end - start >= BIG && !sparse)
		madvise(p, s->high - s->low, MADV_HUGEPAGE);
	return 0;
}

/* An old span whose reservation can hold the range gives its memory to the new one. */
static bool span_take(struct image *old, uint64_t start, uint64_t end, struct image_span *ret)
{
	vec_each(s, &old->spans) {
		if (!s->data || start < s->low || end > s->high)
			continue;
		*ret = *s;
		free(ret->marks);
		free(ret->rank);
		ret->marks = NULL;
		ret->rank = NULL;
		ret->start = start;
		ret->end = end;
		*s = (struct image_span){ 0 };
		return true;
	}
	return false;
}

int image_prepare(struct image *im, const image_ranges *ranges)
{
	struct image next = { 0 };
	int rc = 0;

	vec_each(r, ranges) {
		struct image_span s;

		if (!span_take(im, r->start, r->end, &s))
			rc = span_reserve(&s, r->start, r->end, im->sparse);
		s.of_file = r->of_file;
		if (!rc)
			rc = vec_push(&next.spans, s);
		if (rc)
			break;
	}
	next.sparse = im->sparse;
	next.fetch = im->fetch;
	next.misses = im->misses;
	image_deinit(im);
	*im = next;
	return rc;
}

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

void image_populate(struct image *im, const struct memread *mem)
{
	uint64_t at, run, end;

	vec_each(s, &im->spans)
		for (at = s->start; !im->sparse && at < s->end; at = end) {
			if (!memread_resident(mem, at, s->end, &run, &end))
				break;
			madvise(s->data + (run - s->low), end - run, MADV_POPULATE_WRITE);
		}
}

/* A run of pages that are there; a page that went away meanwhile is left out. */
static bool fill_run(struct image *im, struct image_span *s, const struct memread *mem,
		     uint64_t at, uint64_t end, uint64_t deadline_ns)
{
	while (at < end) {
		uint64_t want = end - at < CHUNK ? end - at : CHUNK;
		uint64_t got = mem->read(mem->ctx, at, s->data + (at - s->low), want);

		im->copied_bytes += got;
		at = got == want ? at + want : ((at + got) & ~(PAGE - 1)) + PAGE;
		if (deadline_ns && clock_ns(CLOCK_MONOTONIC) > deadline_ns)
			return false;
	}
	return true;
}

/* Copies what is resident of a part of a span. */
static bool fill_part(struct image *im, struct image_span *s, const struct memread *mem, uint64_t at,
		      uint64_t end, uint64_t deadline_ns)
{
	uint64_t run, run_end;

	while (at < end && memread_resident(mem, at, end, &run, &run_end)) {
		if (!fill_run(im, s, mem, run, run_end, deadline_ns))
			return false;
		at = run_end;
	}
	return true;
}

static uint64_t chunk_start(const struct image_span *s, uint64_t i)
{
	uint64_t at = s->low + i * SPARSE;

	return at < s->start ? s->start : at > s->end ? s->end : at;
}

/* Only the chunks that were touched before. */
static bool fill_sparse(struct image *im, struct image_span *s, const struct memread *mem,
			uint64_t deadline_ns)
{
	uint64_t n = (s->end - s->low) / SPARSE + 1;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t first = i;

		while (i < n && s->have[i])
			i++;
		if (i > first && !fill_part(im, s, mem, chunk_start(s, first), chunk_start(s, i),
					    deadline_ns))
			return false;
	}
	return true;
}

bool image_fill(struct image *im, const struct memread *mem, uint64_t deadline_ns)
{
	im->copied_bytes = 0;
	vec_each(s, &im->spans)
		if (!(im->sparse ? fill_sparse(im, s, mem, deadline_ns)
				 : fill_part(im, s, mem, s->start, s->end, deadline_ns)))
			return false;
	return true;
}

bool image_ready(struct image *im, struct image_span *s, uint64_t uaddr, uint64_t len)
{
	uint64_t last = (uaddr + (len ? len - 1 : 0) - s->low) / SPARSE;

	for (uint64_t i = (uaddr - s->low) / SPARSE; i <= last; i++) {
		if (s->have[i])
			continue;
		if (!im->fetch) {
			im->misses++;
			return false;
		}
		s->have[i] = 1;
		fill_part(im, s, im->fetch, chunk_start(s, i), chunk_start(s, i + 1), 0);
	}
	return true;
}

struct image_span *image_span_slow(struct image *im, uint64_t uaddr)
{
	size_t lo = 0, hi = im->spans.n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (uaddr < im->spans.v[mid].start)
			hi = mid;
		else if (uaddr >= im->spans.v[mid].end)
			lo = mid + 1;
		else {
			im->last = mid;
			return &im->spans.v[mid];
		}
	}
	return NULL;
}

static size_t words_of(const struct image_span *s)
{
	return (s->end - s->start) / (64 * IMAGE_GRAIN) + 1;
}

int image_clear_marks(struct image *im)
{
	vec_each(s, &im->spans) {
		free(s->marks);
		free(s->rank);
		s->rank = NULL;
		s->marks = calloc(words_of(s), sizeof(*s->marks));
		if (!s->marks)
			return -ENOMEM;
	}
	return 0;
}

uint32_t image_index(struct image *im)
{
	uint32_t n = 0;

	vec_each(s, &im->spans) {
		size_t words = words_of(s);

		s->first = n;
		s->rank = malloc(words * sizeof(*s->rank));
		if (!s->rank)
			return IMAGE_NONE;
		for (size_t i = 0; i < words; i++) {
			s->rank[i] = n;
			n += (uint32_t)__builtin_popcountll(s->marks[i]);
		}
	}
	return n;
}

uint32_t image_number_below(struct image *im, uint64_t uaddr)
{
	struct image_span *s = image_span_of(im, uaddr);
	uint64_t at, word;

	if (!s)
		return IMAGE_NONE;
	at = (uaddr - s->start) / IMAGE_GRAIN;
	word = s->marks[at / 64] & (~0ull >> (63 - at % 64));
	if (s->rank[at / 64] + (uint32_t)__builtin_popcountll(word) == s->first)
		return IMAGE_NONE;
	return s->rank[at / 64] + (uint32_t)__builtin_popcountll(word) - 1;
}

int image_each_mark(struct image *im, int (*fn)(void *ctx, uint64_t uaddr), void *ctx)
{
	vec_each(s, &im->spans) {
		size_t words = words_of(s);

		for (size_t i = 0; i < words; i++) {
			uint64_t word = s->marks[i];

			while (word) {
				unsigned int bit = (unsigned int)__builtin_ctzll(word);
				int rc = fn(ctx, s->start + (i * 64 + bit) * IMAGE_GRAIN);

				if (rc)
					return rc;
				word &= word - 1;
			}
		}
	}
	return 0;
}

static size_t reader_read(void *ctx, uint64_t uaddr, void *buf, size_t len)
{
	struct image_reader *r = ctx;
	const struct image_span *s = image_span_of(r->im, uaddr);
	const uint8_t *p;

	if (s && !r->behind && len > s->end - uaddr)
		len = s->end - uaddr;
	p = image_at(r->im, uaddr, len);

	if (p) {
		memcpy(buf, p, len);
		return len;
	}
	return r->behind ? r->behind->read(r->behind->ctx, uaddr, buf, len) : 0;
}

struct memread image_memread(struct image_reader *r)
{
	return (struct memread){ .ctx = r, .read = reader_read };
}
