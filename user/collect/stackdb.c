/* SPDX-License-Identifier: MIT */
#include "stackdb.h"

#include <string.h>

void stackdb_deinit(struct stackdb *db)
{
	vec_deinit(&db->frames);
	vec_deinit(&db->same_hash);
	vec_deinit(&db->nodes);
	hashmap_deinit(&db->frame_by_hash);
	hashmap_deinit(&db->node_by_key);
}

static uint64_t hash_of(const struct stack_frame *f)
{
	uint64_t words[] = { (uint64_t)f->where << 32 | f->name, (uint64_t)f->native << 32 | f->module,
			     f->offset, (uint64_t)f->line_defined << 32 | (uint32_t)f->kind << 16 |
			     f->flags };
	uint64_t h = 0x9E3779B97F4A7C15ull;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		h = (h ^ words[i]) * 0xD6E8FEB86659FD93ull;
		h ^= h >> 32;
	}
	return h ? h : 1;
}

static bool same(const struct stack_frame *a, const struct stack_frame *b)
{
	return a->where == b->where && a->name == b->name && a->native == b->native &&
	       a->module == b->module && a->offset == b->offset &&
	       a->line_defined == b->line_defined && a->kind == b->kind && a->flags == b->flags;
}

/* Index + 1, or 0 when out of memory. */
static uint32_t intern(struct stackdb *db, const struct stack_frame *f)
{
	uint64_t *first = hashmap_get_or_add(&db->frame_by_hash, hash_of(f));

	if (!first)
		return 0;
	for (uint32_t i = (uint32_t)*first; i; i = db->same_hash.v[i - 1])
		if (same(&db->frames.v[i - 1], f))
			return i;
	if (vec_push(&db->same_hash, (uint32_t)*first))
		return 0;
	if (vec_push(&db->frames, *f)) {
		db->same_hash.n--;
		return 0;
	}
	*first = db->frames.n;
	return (uint32_t)db->frames.n;
}

static uint32_t child(struct stackdb *db, uint32_t parent, uint32_t frame)
{
	struct stack_node node = { parent, frame - 1 };
	uint64_t *id = hashmap_get_or_add(&db->node_by_key, (uint64_t)parent << 32 | frame);

	if (!id)
		return 0;
	if (!*id) {
		if (vec_push(&db->nodes, node))
			return 0;
		*id = db->nodes.n;
	}
	return (uint32_t)*id;
}

uint32_t stackdb_add(struct stackdb *db, const struct stack_frame *frames, size_t n)
{
	uint32_t id = 0;

	for (size_t i = n; i-- > 0;) {
		uint32_t frame = intern(db, &frames[i]);

		id = frame ? child(db, id, frame) : 0;
		if (!id)
			return 0;
	}
	return id;
}

size_t stackdb_frames(const struct stackdb *db, uint32_t id, uint32_t *frames, size_t max)
{
	size_t n = 0;

	for (; id && id <= db->nodes.n && n < max; id = db->nodes.v[id - 1].parent)
		frames[n++] = db->nodes.v[id - 1].frame;
	return n;
}
