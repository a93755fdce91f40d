/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * find_alloc: faults that show in the calls of an allocator. Each function is called only when
 * what the allocation path has in hand anyway does not fit. For alloc.bpf.c only.
 */
#ifndef LMT_FIND_ALLOC_BPF_H
#define LMT_FIND_ALLOC_BPF_H

#include "find_oom.bpf.h"
#include "find_stack.bpf.h"
#include "ledger.bpf.h"

/*
 * A finding about h->call and h->block: where the Lua code is, both stacks, the block's site, h->arg.
 * h->by tells it from others of its kind. state 0: to be found.
 */
SUBPROG int tell_block(struct hit *h, __u32 layout, __u32 slot, __u32 state, __u32 what)
{
	struct lmt_finding *f;
	__u64 place, by;

	if (!h)
		return 0;
	place = find_place(h, layout, slot, state);
	if (place >> 32)
		state = (__u32)(place >> 32);
	find_stack(h, state, LMT_TAG_FINDING);
	tell_site(h->block.site);
	by = what == LMT_FIND_SIZE ? h->by ^ place << 48 : h->by;
	f = find_open(what, slot, state, by);
	if (!f)
		return 0;
	fill_call(f, &h->call, h->caller.ip);
	f->arg[0] = h->arg[0];
	f->arg[1] = h->arg[1];
	if (what == LMT_FIND_DOUBLE_FREE || what == LMT_FIND_CHUNK_FREE)
		freed_where(LMT_KEY(slot, h->call.ptr), &f->arg[LMT_FIRST_FREE_SITE],
			    &f->arg[LMT_FIRST_FREE_GC]);
	f->block = h->block;
	f->site = (__u32)place;
	find_send(f);
	return 0;
}

/*
 * What the functions below have found, LMT_FIND_… or 0, is told by their caller: calls would nest too
 * deep otherwise. They leave it in the thread's room.
 */
static __always_inline void tell_found(const struct lmt_probe *p, __u32 slot, __u32 state, int what)
{
	struct hit *h = what ? hit_get(false) : 0;

	if (h)
		tell_block(h, p->layout, slot, state, what);
}

/* osize contradicts what the block was allocated with. */
static __noinline int find_size_mismatch(struct pt_regs *ctx, const struct call *c,
					 const struct lmt_block *old)
{
	struct hit *h = c ? hit_at_entry(ctx, c) : 0;

	if (!old || !h)
		return 0;
	h->block = *old;
	h->by = h->caller.ip;
	h->arg[0] = h->arg[1] = 0;
	return LMT_FIND_SIZE;
}

/*
 * LuaJIT's allocator keeps a word before each block: its size, and whether it and the chunk before
 * it are in use (lj_alloc.c: PINUSE_BIT 1, CINUSE_BIT 2; a direct mapping has neither neighbour
 * nor bit 1, and bit 0 set in the word before).
 */
#define CHUNK_PREV_IN_USE 1
#define CHUNK_IN_USE 2
#define CHUNK_MAX (1ull << 44)
#define CHUNK_ROUND 48 /* header, alignment, a rest too small to be a chunk of its own */

#define CHUNK_WORDS 16

/* Words of the chunk that holds a block, and of the one behind it. */
struct chunk {
	__u64 before, head;
	__u64 behind;    /* the next one's */
	__u32 has_behind; /* it is known: this one's size is possible */
	__u32 pad;
};

static __always_inline bool chunk_fits(const struct chunk *c, __u64 osize)
{
	__u64 size = c->head & ~7ull;

	return size >= osize + 8 && size <= osize + CHUNK_ROUND;
}

static __always_inline bool is_mapped_alone(const struct chunk *c)
{
	return !(c->head & 1) && c->before & 1;
}

/* By one read where the block is small: each costs as much, whatever it reads. */
SUBPROG int read_chunk(__u64 ptr, __u64 osize, struct chunk *to)
{
	__u32 bytes = 16 + CHUNK_ROUND + (__u32)osize;
	__u64 w[CHUNK_WORDS];

	if (!to)
		return 0;
	to->has_behind = 0;
	if (osize <= sizeof(w) - 16 - CHUNK_ROUND && bytes <= sizeof(w) && try_read(w, bytes, ptr - 16)) {
		to->before = w[0];
		to->head = w[1];
		to->has_behind = chunk_fits(to, osize);
		to->behind = to->has_behind ? word_at(w, CHUNK_WORDS, (__u32)(to->head & ~7ull) + 8) : 0;
		return 1;
	}
	if (!read_user(to, 16, ptr - 16))
		return 0;
	to->has_behind = !is_mapped_alone(to) && chunk_fits(to, osize) &&
			 read_user(&to->behind, 8, ptr + (to->head & ~7ull) - 8);
	return 1;
}

static __noinline int find_bad_chunk(struct pt_regs *ctx, const struct call *c,
				     const struct lmt_block *old)
{
	struct chunk chunk = {};
	struct hit *h;
	__u32 what;
	__u64 bad;
	bool next;

	if (!c || !old || !read_chunk(c->ptr, c->osize, &chunk))
		return 0;
	if (is_mapped_alone(&chunk))
		return 0;
	what = !chunk_fits(&chunk, c->osize) ? LMT_FIND_CORRUPT_CHUNK
	       : !(chunk.head & CHUNK_IN_USE) ? LMT_FIND_CHUNK_FREE : 0;
	next = !what;
	bad = next ? chunk.behind : chunk.head;
	if (next) { /* it must know that this is in use, and have a possible size */
		if (!chunk.has_behind || (bad & CHUNK_PREV_IN_USE && bad < CHUNK_MAX))
			return 0;
		what = LMT_FIND_CORRUPT_CHUNK;
	}
	h = hit_at_entry(ctx, c);
	if (!h)
		return 0;
	h->block = *old;
	h->by = h->arg[1] = next;
	h->arg[0] = bad;
	return what;
}

static __always_inline void note_place(struct lmt_free_note *note, __u64 key, const struct free_place *place)
{
	note->site = place->site;
	note->gc_state = place->gc_state;
	note->key = key;
}

/*
 * Notes where a block is freed, at little cost: a sweep frees many from one place, told by the same caller
 * and stack pointer in the same millisecond. True when the place is not known: find_free_place().
 */
static __noinline int note_free(const struct pt_regs *ctx, __u32 slot, __u64 ptr, __u32 state)
{
	struct lmt_free_note *note = free_note_at(LMT_KEY(slot, ptr));
	struct free_place *place;
	struct free_room *room;
	__u32 zero = 0;
	__u64 by = 0;
	bool known;

	room = bpf_map_lookup_elem(&free_rooms, &zero);
	if (!note || !room)
		return 0;
	note->key = 0; /* unless its place is known the one before is not to stand for it */
	if (!read_user(&by, 8, ctx->sp) || !room_take(&room->busy))
		return 0;
	place = free_place_at(room, ctx->sp, by);
	known = place->sp == ctx->sp && place->by == (__u32)by && place->ms == now_ms &&
		place->state == state;
	if (known)
		note_place(note, LMT_KEY(slot, ptr), place);
	room_give(&room->busy);
	return !known;
}

/* Looks for the place of the free h->call, unless that was done for too many in this millisecond. */
SUBPROG int find_free_place(struct hit *h, __u32 layout, __u32 slot, __u32 state)
{
	struct lmt_state *st = state_at(state);
	const struct lmt_layout *lay = st ? layout_at(st->layout) : 0;
	struct lmt_free_note *note;
	struct free_place *to;
	struct free_room *room;
	__u32 zero = 0;
	__u8 gc = 0;

	room = bpf_map_lookup_elem(&free_rooms, &zero);
	if (!h || !room || !lay || !room_take(&room->busy))
		return 0;
	to = free_place_at(room, h->caller.sp - 8, h->caller.ip);
	*to = (struct free_place){ .sp = h->caller.sp - 8, .ms = now_ms, .state = state,
				   .by = (__u32)h->caller.ip };
	if (room->ms != now_ms)
		room->made = 0;
	room->ms = now_ms;
	h->top.tag = 0;
	if (room->made++ < FREE_PLACES && locate(h, layout, slot, state) == state) {
		h->top.by = (__u32)h->caller.ip;
		to->site = find_stack(h, state, LMT_TAG_FREE);
		if (read_user(&gc, 1, st->g + (__u32)lay->G_gcstate.off))
			to->gc_state = gc + 1u;
	}
	note = free_note_at(LMT_KEY(slot, h->call.ptr));
	if (note)
		note_place(note, LMT_KEY(slot, h->call.ptr), to);
	room_give(&room->busy);
	return 0;
}

/* Freed or moved, but not in the ledger. state 0: not known. */
static __noinline int find_in_unknown(struct pt_regs *ctx, __u32 slot, const struct call *c, __u32 state)
{
	struct lmt_block freed = {};
	struct lmt_state *st;
	__u32 what = 0, range;
	struct hit *h;

	if (!c || !c->ptr)
		return 0;
	range = (__u32)find_range(slot, c->ptr);
	if (range)
		what = LMT_FIND_STATIC_FREE;
	else if (ledger_covers(LMT_KEY(slot, c->ptr), 1, &freed) == PLACE_FREED &&
		 freed.born == LMT_FREED(LMT_KEY(slot, c->ptr)))
		what = LMT_FIND_DOUBLE_FREE;
	st = state_at(state);
	if (gaps && what != LMT_FIND_STATIC_FREE)
		return 0;
	if (!what && st && st->born_ns && !st->lost_blocks && st->block != c->ptr)
		what = LMT_FIND_FOREIGN_FREE;
	if (!what)
		return 0;
	h = hit_at_entry(ctx, c);
	if (!h)
		return 0;
	h->block = freed;
	h->by = range ? range : h->caller.ip; /* not by address: arenas have many */
	h->arg[0] = range ? range - 1 : ((__u32)now_ms - LMT_FREED_MS(&freed)) & LMT_FREED_MS_MASK;
	h->arg[1] = 0;
	return what;
}

/* The allocator said no to h->call. */
SUBPROG int find_refused(struct hit *h, __u32 state)
{
	struct lmt_state *st = state_at(state);

	if (!h || !st)
		return 0;
	find_stack(h, state, LMT_TAG_FINDING);
	return note_refused(h, st->slot, state);
}

#endif
