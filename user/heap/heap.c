/* SPDX-License-Identifier: MIT */
#include "heap.h"

#include <errno.h>

#include "judge.h"

void heap_deinit(struct heap *h)
{
	vec_deinit(&h->states);
	vec_deinit(&h->sites);
	vec_deinit(&h->frames);
	vec_deinit(&h->free_frames);
	heap_stacks_deinit(&h->stacks);
	heap_closed_deinit(&h->closed);
	creators_deinit(&h->creators);
	hashmap_deinit(&h->state_by_index);
	hashmap_deinit(&h->site_by_key);
	hashmap_deinit(&h->frame_by_site);
	hashmap_deinit(&h->kind_by_site);
}

int heap_add_state(struct heap *h, uint32_t index, pid_t pid, uint32_t runtime,
		   const struct lmt_layout *layout, bool before_attach)
{
	struct heap_state s = {
		.index = index,
		.pid = pid,
		.runtime = runtime,
		.layout = layout,
		.before_attach = before_attach,
		.number = layout ? h->next_number + 1 : 0,
	};
	uint64_t *at = hashmap_get_or_add(&h->state_by_index, index);
	uint32_t i = (uint32_t)h->states.n;

	if (!at)
		return -ENOMEM;
	if (h->closed.free_states.n) {
		i = h->closed.free_states.v[--h->closed.free_states.n];
		h->states.v[i] = s;
	} else if (vec_push(&h->states, s)) {
		return -ENOMEM;
	}
	*at = i + 1ull;
	if (layout)
		h->next_number++;
	return (int)i;
}

struct heap_state *heap_find_state(struct heap *h, uint32_t index)
{
	uint64_t *at = hashmap_lookup(&h->state_by_index, index);

	return at && *at ? &h->states.v[*at - 1] : NULL;
}

void heap_set_gc(struct heap *h, uint32_t index, uint64_t heap_bytes, uint32_t gc_cycles)
{
	struct heap_state *s = heap_find_state(h, index);

	if (!s)
		return;
	if (!s->heap_known && s->before_attach)
		s->heap_at_attach = heap_bytes;
	s->heap_known = true;
	s->heap_bytes = heap_bytes;
	s->gc_cycles = gc_cycles;
}

int heap_end_state(struct heap *h, uint32_t index)
{
	struct heap_state *s = heap_find_state(h, index);
	uint64_t *at = hashmap_lookup(&h->state_by_index, index);

	if (!s)
		return 0;
	s->ended = true;
	*at = 0;
	return heap_closed_add(h, (uint32_t)(s - h->states.v));
}

void heap_forget_site(struct heap *h, uint32_t site)
{
	uint64_t *frame = hashmap_lookup(&h->frame_by_site, site);
	uint64_t *kind = hashmap_lookup(&h->kind_by_site, site);

	if (frame && *frame && !vec_push(&h->free_frames, *frame))
		*frame = 0;
	if (kind)
		*kind = 0;
	heap_forget_stack(h, site);
}

void heap_set_base(struct heap *h, uint32_t index, uint64_t events)
{
	struct heap_state *s = heap_find_state(h, index);

	if (!s || !s->before_attach || s->balance.based || !s->heap_known || events ||
	    s->heap_bytes != s->heap_at_attach)
		return;
	s->balance.base = (int64_t)s->heap_bytes;
	s->balance.based = true;
}

int heap_set_frame(struct heap *h, uint32_t site, const struct frame *frame)
{
	uint64_t *at = hashmap_get_or_add(&h->frame_by_site, site);

	if (!at)
		return -ENOMEM;
	if (*at) { /* it could not be read the first time */
		h->frames.v[*at - 1] = *frame;
		return 0;
	}
	if (h->free_frames.n) {
		*at = h->free_frames.v[--h->free_frames.n];
		h->frames.v[*at - 1] = *frame;
		return 0;
	}
	if (vec_push(&h->frames, *frame))
		return -ENOMEM;
	*at = h->frames.n;
	return 0;
}

/* In kind_by_site: the kind and 1, and above that how many looks in a row said it. */
#define KIND_OF(v) ((enum block_kind)(((v) & 0xff) - 1))
#define LOOKS_OF(v) ((unsigned int)((v) >> 8))

int heap_set_kind(struct heap *h, uint32_t site, enum block_kind kind)
{
	enum block_kind before = KIND_UNKNOWN, name;
	unsigned int looks = 0;
	uint64_t *at;

	if (kind == KIND_UNKNOWN)
		return 0;
	at = hashmap_get_or_add(&h->kind_by_site, site);
	if (!at)
		return -ENOMEM;
	if (*at) {
		before = KIND_OF(*at);
		looks = LOOKS_OF(*at);
	}
	name = kind_naming(before, kind);
	/* Of two that might name it, the one that was not seen often enough gives way. */
	if (name != kind && kind_is_final(kind) && kind_naming(kind, before) == kind &&
	    looks < kind_looks(before))
		name = kind;
	if (name != before || looks < kind_looks(name))
		*at = ((uint64_t)name + 1) | (uint64_t)(name == before ? looks + 1 : 1) << 8;
	return 0;
}

enum block_kind heap_kind(const struct heap *h, const struct heap_state *st, uint32_t site,
			  uint32_t tag)
{
	enum block_kind kind = kind_of_tag(st->layout, tag);
	uint64_t *at;

	if (kind != KIND_UNKNOWN || !site)
		return kind;
	at = hashmap_lookup(&h->kind_by_site, site);
	return at && *at ? KIND_OF(*at) : KIND_UNKNOWN;
}

bool heap_needs_kind(struct heap *h, const struct snapshot_site *site)
{
	const struct heap_state *st = heap_find_state(h, site->state);
	uint64_t *at;

	if (!st || !st->layout || !site->index || !site->live_blocks ||
	    kind_of_tag(st->layout, site->site.tag) != KIND_UNKNOWN)
		return false;
	at = hashmap_lookup(&h->kind_by_site, site->index);
	return !at || !*at || !kind_is_final(KIND_OF(*at)) ||
	       LOOKS_OF(*at) < kind_looks(KIND_OF(*at));
}

struct frame heap_get_frame(const struct heap *h, uint32_t site)
{
	uint64_t *at = site ? hashmap_lookup(&h->frame_by_site, site) : NULL;

	return at && *at ? h->frames.v[*at - 1] : (struct frame){ 0 };
}

bool heap_has_frame(const struct heap *h, uint32_t site)
{
	return heap_get_frame(h, site).where != 0;
}

uint64_t heap_site_key(const struct heap_site *s)
{
	return (s->state + 1ull) << 40 ^ (uint64_t)s->frame.where << 8 ^ (uint64_t)s->kind << 2 ^
	       (uint64_t)s->below << 1 ^ s->frame.approx ^ s->c_ip * 0x9E3779B97F4A7C15ull;
}

uint32_t heap_site_at(struct heap *h, uint32_t state, enum block_kind kind, struct frame f,
		      bool below, uint64_t c_ip)
{
	struct heap_site fresh = { .state = state,
				   .kind = kind,
				   .frame = f,
				   .below = below,
				   .c_ip = c_ip,
				   .id = h->next_site + 1,
				   .next = h->states.v[state].sites };
	uint64_t *at = hashmap_get_or_add(&h->site_by_key, heap_site_key(&fresh));
	uint32_t i = (uint32_t)h->sites.n;

	if (!at || *at)
		return at ? (uint32_t)*at : 0;
	if (h->closed.free_sites.n) {
		i = h->closed.free_sites.v[--h->closed.free_sites.n];
		h->sites.v[i] = fresh;
	} else if (vec_push(&h->sites, fresh)) {
		return 0;
	}
	h->next_site++;
	*at = h->states.v[state].sites = i + 1;
	return i + 1;
}

static int apply_site(struct heap *h, const struct snapshot_site *from)
{
	uint64_t *state = hashmap_lookup(&h->state_by_index, from->state), *site_of;
	struct frame f = heap_get_frame(h, from->index);
	bool below = from->site.flags & LMT_SITE_BELOW;
	uint64_t c_ip = 0;
	struct heap_site *s;
	enum block_kind kind;
	uint32_t at;

	if (!state || !*state)
		return 0; /* its birth is still in the ring: next time */
	kind = heap_kind(h, &h->states.v[*state - 1], from->index, from->site.tag);
	if (kind == KIND_C_HEAP)
		c_ip = from->site.reallocs;
	at = heap_site_at(h, (uint32_t)*state - 1, kind, f, below, c_ip);
	if (!at)
		return -ENOMEM;
	if (from->index) {
		site_of = hashmap_get_or_add(&h->stacks.site_of, from->index);
		if (!site_of)
			return -ENOMEM;
		*site_of = at;
	}
	s = &h->sites.v[at - 1];
	s->live_bytes += from->live_bytes;
	s->live_blocks += from->live_blocks;
	for (unsigned int i = 0; i < COHORTS; i++) {
		s->old.blocks[i] += from->old.blocks[i];
		s->old.bytes[i] += from->old.bytes[i];
		s->old_bytes += from->old.bytes[i];
	}
	for (unsigned int i = 0; i < BIRTH_STRETCHES; i++)
		s->alive.blocks[i] += from->alive.blocks[i];
	s->allocs += from->site.allocs;
	s->alloc_bytes += from->site.alloc_bytes;
	if (kind == KIND_C_HEAP)
		s->c_site = from->index;
	else
		s->reallocs += from->site.reallocs;
	if (from->survived_cycles > s->survived_cycles)
		s->survived_cycles = from->survived_cycles;
	return 0;
}

static void note_activity(struct heap_state *s, uint64_t now_ns)
{
	uint64_t events = s->st.allocs + s->st.frees + s->st.reallocs + s->st.failures;

	if (events != s->seen_events || s->heap_bytes != s->seen_bytes)
		s->active_ns = now_ns;
	s->seen_events = events;
	s->seen_bytes = s->heap_bytes;
}

static void apply_states(struct heap *h, const struct snapshot *snap)
{
	vec_each(from, &snap->states) {
		struct heap_state *s = heap_find_state(h, from->index);

		if (!s)
			continue;
		s->st = from->st;
		s->live_bytes = from->live_bytes;
		s->live_blocks = from->live_blocks;
		s->age = from->age;
		s->closed = from->st.flags & (LMT_STATE_DEAD | LMT_STATE_CLOSING);
		if (!s->first_ns) /* those of the first look were there before */
			s->first_ns = s->st.born_ns ? s->st.born_ns : h->now_ns ? snap->end_ns : 1;
		note_activity(s, snap->end_ns);
	}
}

int heap_apply(struct heap *h, const struct snapshot *snap)
{
	int rc;

	apply_states(h, snap);
	h->now_ns = snap->end_ns;
	creators_look(&h->creators, snap->end_ns);
	vec_each(s, &h->sites) {
		if (h->states.v[s->state].ended)
			continue;
		s->live_bytes = s->live_blocks = s->old_bytes = 0;
		s->allocs = s->alloc_bytes = s->reallocs = 0;
		s->survived_cycles = 0;
		s->old = (struct cohorts){ 0 };
		s->alive = (struct births){ 0 };
	}
	vec_each(from, &snap->sites) {
		rc = apply_site(h, from);
		if (rc)
			return rc;
	}
	rc = heap_apply_stacks(h, snap);
	judge_sites(h, snap);
	h->now_ms = snap->now_ms;
	return rc;
}

void heap_check(const struct heap *h)
{
	vec_each(st, &h->states) {
		uint64_t bytes = 0, blocks = 0;

		vec_each(s, &h->sites) {
			if (&h->states.v[s->state] != st)
				continue;
			bytes += s->live_bytes;
			blocks += s->live_blocks;
		}
		if (bytes != st->live_bytes || blocks != st->live_blocks)
			BUG();
	}
}
