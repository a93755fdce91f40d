/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ledger: put and take live blocks. The only code that touches `blocks`. BPF only.
 *
 * Two buckets of eight for each key, and a third. A new block goes into the first until that is a
 * little more than half full, then into the emptier of the first two, and where both are full into
 * the third. With two choices the fullest bucket grows with log log n: tests/bpf/t_ledger.c fills
 * the table to its design load of one half without a refusal, where a linear probe of eight places
 * refuses one block in a hundred. Most often only the first is touched: on virtual machines the page
 * table walk for a bucket costs more than all else done with it.
 *
 * Order of events: an address cannot be handed out before it was freed, and a free or realloc
 * takes the block out at *entry*, before the allocator runs; so no other thread can put the same
 * address while we are about to take it. A realloc that fails puts the block back: nobody else
 * can have been given it meanwhile.
 */
#ifndef LMT_LEDGER_BPF_H
#define LMT_LEDGER_BPF_H

#include "maps.bpf.h"
#include "read.bpf.h"

#define LEDGER_TRIES 4 /* claims lost to other threads before giving up */

/*
 * Where a key may live. 64 bytes of the target's memory share their buckets (two blocks of the
 * smallest size malloc gives). The first keeps neighbours together: a MiB lies in one stretch of the
 * table, and only where that stretch begins is random. Heaps are allocated and swept in order of
 * address, so the buckets of successive events are neighbours too and mostly in the cache.
 */
#define REGION_BITS 20

static __always_inline struct lmt_bucket *bucket_at(__u64 i)
{
	__u32 at = (__u32)i & config.bucket_mask;

	return bpf_map_lookup_elem(&blocks, &at);
}

static __always_inline struct lmt_bucket *first_bucket(__u64 key)
{
	__u64 start = ((key >> REGION_BITS) * 0x9E3779B97F4A7C15ull) >> 32;

	return bucket_at(start + (key >> LMT_LINE_BITS & ((1u << (REGION_BITS - LMT_LINE_BITS)) - 1)));
}

static __always_inline struct lmt_bucket *second_bucket(__u64 key)
{
	return bucket_at(((key >> LMT_LINE_BITS) * 0xD6E8FEB86659FD93ull) >> 32);
}

static __always_inline struct lmt_bucket *third_bucket(__u64 key)
{
	return bucket_at(((key >> LMT_LINE_BITS) * 0xC2B2AE3D27D4EB4Full) >> 32);
}

/* Did any key ever go into its third bucket? */
volatile __u32 third_used __weak = 0;

/*
 * Places in the order in which they are filled, lowest digit first. The fifth, whose use shows that
 * others were in use, lies in the cache line that the first one's block begins in.
 */
#define FILL_ORDER 0x76514320u
#define NEAR_PLACES 5
#define NEAR_LAST 1

/* The first free one of the first n places; LMT_BUCKET_SLOTS if there is none. */
static __always_inline __u32 free_place(const struct lmt_bucket *b, __u32 n)
{
#pragma unroll
	for (__u32 i = 0; i < n; i++)
		if (!b->key[FILL_ORDER >> 4 * i & 7])
			return FILL_ORDER >> 4 * i & 7;
	return LMT_BUCKET_SLOTS;
}

/*
 * May blocks whose first bucket this is be in others? Only if all of the near places were in use
 * once; the last of them shows that for good, since what is freed leaves a mark.
 */
static __always_inline bool has_spilled(const struct lmt_bucket *b)
{
	return *(const volatile __u64 *)&b->key[NEAR_LAST] || b->block[NEAR_LAST].state;
}

/* Asks for the line of the cache that will be needed soon. */
static __always_inline void ledger_touch(__u64 key)
{
	const struct lmt_bucket *b = first_bucket(key);

	if (b) {
		__u64 any = *(const volatile __u64 *)&b->key[0];

		asm volatile("" : : "r"(any));
	}
}

/*
 * The place that holds exactly this key, LMT_BUCKET_SLOTS if none does. A chain of branches: two
 * instructions a place, most often few places.
 */
static __always_inline __u32 place_of(const struct lmt_bucket *b, __u64 key)
{
#pragma unroll
	for (__u32 i = 0; i < LMT_BUCKET_SLOTS; i++)
		if (b->key[i] == key)
			return i;
	return LMT_BUCKET_SLOTS;
}

/* Places in use. Without branches: the verifier follows each outcome of each, and here all go on. */
static __always_inline __u32 used_in(const struct lmt_bucket *b)
{
	__u32 free = 0;

#pragma unroll
	for (__u32 i = 0; i < LMT_BUCKET_SLOTS; i++)
		free += is_zero(b->key[i]);
	return LMT_BUCKET_SLOTS - free;
}

/* Leaves behind what was here; see LMT_FREED. The line is in the cache already. */
static __always_inline void mark_freed(struct lmt_block *to, __u64 key, const struct lmt_block *was)
{
	__u64 ms = now_ms;

	to->size_tags = (was->size_tags & LMT_SIZE_MASK) | ms << 48;
	to->state = (was->state & ((1u << LMT_FREED_STATE_BITS) - 1)) |
		    (__u32)(ms >> 16) << LMT_FREED_STATE_BITS;
	to->born = LMT_FREED(key);
}

static __always_inline bool take_from(struct lmt_bucket *b, __u64 key, struct lmt_block *out)
{
	__u32 i = b ? place_of(b, key) : LMT_BUCKET_SLOTS;

	if (i >= LMT_BUCKET_SLOTS)
		return false;
	*out = b->block[i];
	mark_freed(&b->block[i], key, out);
	*(volatile __u64 *)&b->key[i] = 0;
	return true;
}

/* Takes the block out of the ledger; false when it is not there. */
static __always_inline bool take_block(__u64 key, struct lmt_block *out)
{
	struct lmt_bucket *b = first_bucket(key);

	if (take_from(b, key, out))
		return true;
	if (!b || !has_spilled(b))
		return false;
	return take_from(second_bucket(key), key, out) ||
	       (third_used && take_from(third_bucket(key), key, out));
}

/* The same where a call more does not matter. */
SUBPROG int ledger_take(__u64 key, struct lmt_block *out)
{
	return out && take_block(key, out);
}

/* Was the block left behind by an arena that was unmapped with all that was in it? */
static __always_inline bool is_gone(const struct lmt_block *block)
{
	__u32 state = block->state;
	struct lmt_state *st = bpf_map_lookup_elem(&states, &state);

	return st && LMT_ARENA_GONE(st->flags);
}

enum { LEDGER_FULL = 0, LEDGER_NEW = 1, LEDGER_REPLACED = 2 };

/*
 * Overwrites a stale entry of the same key: of an arena that is gone, or left behind by a free
 * that was not seen (LEDGER_REPLACED). 0 when there is none.
 */
static __always_inline int replace_in(struct lmt_bucket *b, __u64 key, const struct lmt_block *v)
{
	__u32 i = place_of(b, key);
	struct lmt_block *old;
	int rc;

	if (i >= LMT_BUCKET_SLOTS)
		return 0;
	old = &b->block[i];
	rc = is_gone(old) ? LEDGER_NEW : LEDGER_REPLACED;
	*old = *v;
	return rc;
}

/* Makes room in a full bucket by what arenas left behind: nobody else cleans that up. */
SUBPROG int ledger_evict(__u64 key, const struct lmt_block *v)
{
	struct lmt_bucket *b = first_bucket(key);

	if (!b || !v)
		return LEDGER_FULL;
	for (__u32 i = 0; i < LMT_BUCKET_SLOTS; i++) {
		__u64 old;

		NO_MERGE(i); /* into a negative index that counts up to zero, which 7.1 does not bound */
		if (i >= LMT_BUCKET_SLOTS)
			break;
		old = b->key[i];
		if (!old || old & LMT_KEY_BUSY || !is_gone(&b->block[i]))
			continue;
		if (__sync_val_compare_and_swap(&b->key[i], old, key | LMT_KEY_BUSY) != old)
			continue;
		b->block[i] = *v;
		*(volatile __u64 *)&b->key[i] = key;
		return LEDGER_NEW;
	}
	return LEDGER_FULL;
}

/* Claims one of the first n places, unless there is none free or another thread was faster. */
static __always_inline bool claim_in(struct lmt_bucket *b, __u32 n, __u64 key, const struct lmt_block *v)
{
	__u32 i = free_place(b, n);

	if (i >= LMT_BUCKET_SLOTS)
		return false;
	if (__sync_val_compare_and_swap(&b->key[i], 0, key | LMT_KEY_BUSY) != 0)
		return false;
	b->block[i] = *v;
	*(volatile __u64 *)&b->key[i] = key; /* published */
	return true;
}

/* Both buckets are full. */
SUBPROG int put_third(__u64 key, const struct lmt_block *v)
{
	struct lmt_bucket *c = third_bucket(key);

	if (!c || !v)
		return LEDGER_FULL;
	third_used = 1;
	for (int i = 0; i < LEDGER_TRIES; i++)
		if (claim_in(c, LMT_BUCKET_SLOTS, key, v))
			return LEDGER_NEW;
	return ledger_evict(key, v);
}

/* The first bucket is half full, or was. */
SUBPROG int put_elsewhere(__u64 key, const struct lmt_block *v)
{
	struct lmt_bucket *a = first_bucket(key), *b = second_bucket(key), *c = third_bucket(key);
	int rc;

	if (!v || !a || !b || !c)
		return LEDGER_FULL;
	rc = replace_in(b, key, v);
	if (!rc && third_used)
		rc = replace_in(c, key, v);
	if (rc)
		return rc;
	if (claim_in(a, NEAR_PLACES, key, v))
		return LEDGER_NEW;
	for (int i = 0; i < LEDGER_TRIES; i++) {
		__u32 in_a = used_in(a), in_b = used_in(b);

		if (in_a + in_b >= 2 * LMT_BUCKET_SLOTS)
			break;
		if (claim_in(in_a <= in_b ? a : b, LMT_BUCKET_SLOTS, key, v))
			return LEDGER_NEW;
	}
	return put_third(key, v);
}

/* Records a live block. LEDGER_FULL when all of its buckets are. */
SUBPROG int ledger_put(__u64 key, const struct lmt_block *v)
{
	struct lmt_bucket *a = first_bucket(key);
	int rc;

	if (!v || !a)
		return LEDGER_FULL;
	rc = replace_in(a, key, v);
	if (rc)
		return rc;
	if (!has_spilled(a) && claim_in(a, NEAR_PLACES, key, v))
		return LEDGER_NEW;
	return put_elsewhere(key, v);
}

enum { PLACE_NOTHING = 0, PLACE_FREED = 1, PLACE_LIVE = 2 };

/* What a bucket knows of the memory that `line` starts: a block that covers uaddr. */
SUBPROG int bucket_covers(struct lmt_bucket *b, __u64 line, __u64 key, struct lmt_block *freed)
{
	int found = PLACE_NOTHING;

	if (!b || !freed)
		return PLACE_NOTHING;
	for (__u32 i = 0; i < LMT_BUCKET_SLOTS; i++) {
		struct lmt_block *block = &b->block[i];
		__u64 start = b->key[i];
		bool live = start != 0;

		if (!live)
			start = block->born & ~LMT_KEY_BUSY;
		if (start - line >= 1u << LMT_LINE_BITS || key - start >= LMT_BLOCK_SIZE(block))
			continue;
		if (live)
			return PLACE_LIVE;
		if (!(block->born & LMT_KEY_BUSY))
			continue;
		*freed = *block;
		found = PLACE_FREED;
	}
	return found;
}

/*
 * Which block does the address (as a key) lie in? A live one, or one that was freed and not handed
 * out again: *freed then, whose born is its marked key. Looks a few lines of 64 bytes back.
 */
SUBPROG int ledger_covers(__u64 key, __u32 lines, struct lmt_block *freed)
{
	__u64 line = key & ~((1ull << LMT_LINE_BITS) - 1);
	int found = PLACE_NOTHING;

	if (!freed)
		return PLACE_NOTHING;
	for (__u32 i = 0; i < LMT_COVER_LINES && i < lines; i++, line -= 1u << LMT_LINE_BITS) {
		struct lmt_block block = {};
		int a = bucket_covers(first_bucket(line), line, key, &block);
		int b = a == PLACE_LIVE ? a : bucket_covers(second_bucket(line), line, key, &block);

		if (a == PLACE_LIVE || b == PLACE_LIVE)
			return PLACE_LIVE;
		if ((a || b) && !found) {
			*freed = block;
			found = PLACE_FREED;
		}
	}
	return found;
}

#endif
