/* SPDX-License-Identifier: MIT */
#include "chunks.h"

#include <errno.h>
#include <stdlib.h>

/* struct malloc_state, the same in every release on 64-bit systems. */
#define STATE_TOP_SIZE 16
#define STATE_TOP 32
#define STATE_SEGMENT 840
#define STATE_BYTES 864

#define GRAIN 8
#define IN_USE 2u
#define FLAGS 7u
#define BIG_CHUNK (8u << 10) /* whose pages may have been given back */

static struct chunk_segment *find(const struct chunks *c, uint64_t uaddr)
{
	for (size_t i = 0; i < c->n; i++)
		if (uaddr - c->segment[i].start < c->segment[i].end - c->segment[i].start)
			return &c->segment[i];
	return NULL;
}

static void set_free(struct chunk_segment *s, uint64_t from, uint64_t to)
{
	for (; from < to && from < s->end; from += GRAIN) {
		uint64_t bit = (from - s->start) / GRAIN;

		s->free[bit / 64] |= 1ull << (bit % 64);
	}
}

/* Follows the chunks up to the last, which is all that was never handed out. */
static void read_segment(struct chunks *c, const struct walk *w, struct chunk_segment *s, uint64_t top,
			 uint64_t top_size)
{
	uint64_t at = s->start;

	while (at + 2 * CHUNK_HEAD < s->end) {
		const uint8_t *p = image_at(w->im, at, 2 * CHUNK_HEAD);
		uint64_t head = p ? walk_u64(p + CHUNK_HEAD) : 0, size = head & ~(uint64_t)FLAGS;

		if (at == top) {
			set_free(s, at + 2 * CHUNK_HEAD, at + top_size);
			c->free_bytes += top_size;
			return;
		}
		if (!p || size < 32 || size % GRAIN || size > s->end - at)
			return; /* the foot of a full segment ends it */
		if (!(head & IN_USE)) {
			/*
			 * Its first words are the allocator's links: a pointer there is as stale.
			 */
			set_free(s, at + 2 * CHUNK_HEAD, at + size);
			c->free_bytes += size;
		} else {
			c->used_bytes += size;
		}
		at += size;
	}
}

static int add_segment(struct chunks *c, uint64_t start, uint64_t size)
{
	struct chunk_segment *s = &c->segment[c->n];

	s->start = start;
	s->end = start + size;
	s->free = calloc(size / GRAIN / 64 + 1, sizeof(*s->free));
	if (!s->free)
		return -ENOMEM;
	c->n++;
	c->total_bytes += size;
	return 0;
}

int chunks_read(struct chunks *c, const struct walk *w)
{
	uint64_t state = walk_get(w->g, w->l->G_ud), at, size, next;
	const uint8_t *p = image_at(w->im, state, STATE_BYTES);
	uint64_t top = p ? walk_u64(p + STATE_TOP) : 0, top_size = p ? walk_u64(p + STATE_TOP_SIZE) : 0;
	int rc = 0;

	*c = (struct chunks){ 0 };
	if (!p)
		return 0;
	c->segment = calloc(CHUNKS_SEGMENTS, sizeof(*c->segment));
	if (!c->segment)
		return -ENOMEM;
	at = state + STATE_SEGMENT;
	while (at && c->n < CHUNKS_SEGMENTS && (p = image_at(w->im, at, 24))) {
		uint64_t base = walk_u64(p);

		size = walk_u64(p + 8);
		next = walk_u64(p + 16);
		if (size > 1ull << 40 || !image_at(w->im, base, size) || find(c, base))
			break;
		rc = add_segment(c, base, size);
		if (rc)
			return rc;
		at = next;
	}
	/* The state must lie in one of its own segments, else it is another allocator's. */
	if (!find(c, state) || !find(c, top)) {
		chunks_deinit(c);
		return 0;
	}
	for (size_t i = 0; i < c->n; i++)
		read_segment(c, w, &c->segment[i], top, top_size);
	return 0;
}

void chunks_deinit(struct chunks *c)
{
	for (size_t i = 0; i < c->n; i++)
		free(c->segment[i].free);
	free(c->segment);
	*c = (struct chunks){ 0 };
}

bool chunks_hold(const struct chunks *c, uint64_t uaddr)
{
	return find(c, uaddr) != NULL;
}

bool chunks_is_free(const struct chunks *c, uint64_t uaddr)
{
	const struct chunk_segment *s = find(c, uaddr);
	uint64_t bit = s ? (uaddr - s->start) / GRAIN : 0;

	return s && (s->free[bit / 64] >> (bit % 64) & 1);
}

/* One segment of a live target: adds up what it hands out and what lies free in it. */
static bool measure_segment(struct window *w, uint64_t at, uint64_t end, uint64_t top, uint64_t top_size,
			    struct chunks_usage *add_to)
{
	while (at + 2 * CHUNK_HEAD < end) {
		const uint8_t *p = window_at(w, at + CHUNK_HEAD, CHUNK_HEAD);
		uint64_t head = p ? walk_u64(p) : 0, size = head & ~(uint64_t)FLAGS;

		if (at == top) {
			add_to->free_bytes += window_present(w, at, at + top_size);
			return true;
		}
		if (size < 32 || size % GRAIN || size > end - at)
			return p && size < 32; /* the foot of a full segment ends it */
		if (head & IN_USE)
			add_to->chunks++;
		else
			add_to->free_bytes += size < BIG_CHUNK ? size : window_present(w, at, at + size);
		at += size;
	}
	return true;
}

struct segment_list {
	struct { uint64_t base, size, next; } v[CHUNKS_SEGMENTS];
	unsigned int n;
};

static bool lies_in(const struct segment_list *l, uint64_t uaddr)
{
	for (unsigned int i = 0; i < l->n; i++)
		if (uaddr - l->v[i].base < l->v[i].size)
			return true;
	return false;
}

/* The newest segment is in the state itself, each older one in the foot of another. */
static bool list_segments(const struct memread *mem, uint64_t state, struct segment_list *l)
{
	uint64_t at = state + STATE_SEGMENT;

	for (l->n = 0; at && l->n < CHUNKS_SEGMENTS; at = l->v[l->n++].next)
		if (!memread_exact(mem, at, &l->v[l->n], sizeof(l->v[0])) || l->v[l->n].size > 1ull << 40)
			return false;
	return !at && lies_in(l, state);
}

static bool measure(struct window *w, struct segment_list *l, uint64_t state, struct chunks_usage *add_to)
{
	uint8_t fields[STATE_BYTES];
	uint64_t top, top_size;

	if (!memread_exact(w->mem, state, fields, sizeof(fields)) || !list_segments(w->mem, state, l))
		return false;
	top = walk_u64(fields + STATE_TOP);
	top_size = walk_u64(fields + STATE_TOP_SIZE);
	if (!lies_in(l, top) || !lies_in(l, top + top_size))
		return false;
	for (unsigned int i = 0; i < l->n; i++)
		if (!measure_segment(w, l->v[i].base, l->v[i].base + l->v[i].size, top, top_size, add_to))
			return false;
	return true;
}

bool chunks_measure(struct window *w, uint64_t state, struct chunks_usage *add_to)
{
	struct segment_list *l = malloc(sizeof(*l));
	struct chunks_usage sum = *add_to;
	bool ok = l && measure(w, l, state, &sum) && w->left;

	if (ok)
		*add_to = sum;
	free(l);
	return ok;
}
