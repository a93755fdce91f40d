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
#define CHUNK_HEAD 8 /* of the size word; the memory begins behind it */
#define IN_USE 2u
#define FLAGS 7u

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
			/* Its first words are the allocator's links: a pointer there is as stale. */
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
