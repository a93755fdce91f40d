/* SPDX-License-Identifier: MIT */
#include "heap.h"

#include <errno.h>

const char *site_kind_name(enum site_kind kind)
{
	static const char *const names[] = {
		"table", "string", "function", "userdata", "thread", "proto",
		"upvalue", "cdata", "trace", "buffer", "c-heap", "unknown",
	};

	return names[kind];
}

/* osize when ptr is NULL, since 5.2: the type without variant bits, 0 for memory an object owns. */
enum site_kind site_kind_of(const struct lmt_layout *l, uint32_t tag)
{
	static const enum site_kind by_tag[] = {
		[0] = KIND_BUFFER, [4] = KIND_STRING,   [5] = KIND_TABLE,
		[6] = KIND_FUNCTION, [7] = KIND_USERDATA, [8] = KIND_THREAD,
	};

	if (!l || l->family != LMT_FAMILY_PUC || l->version < 502)
		return KIND_UNKNOWN;
	if (tag == (uint32_t)l->K_proto.off)
		return KIND_PROTO;
	if (tag == 9 || tag == 10)
		return KIND_UPVALUE;
	if (tag == 0 || (tag >= 4 && tag <= 8))
		return by_tag[tag];
	return KIND_UNKNOWN;
}

void heap_deinit(struct heap *h)
{
	vec_deinit(&h->states);
	vec_deinit(&h->sites);
	vec_deinit(&h->frames);
	hashmap_deinit(&h->state_by_index);
	hashmap_deinit(&h->site_by_key);
	hashmap_deinit(&h->frame_by_site);
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

	if (!at || vec_push(&h->states, s))
		return -ENOMEM;
	*at = h->states.n;
	if (layout)
		h->next_number++;
	return (int)h->states.n - 1;
}

struct heap_state *heap_find_state(struct heap *h, uint32_t index)
{
	uint64_t *at = hashmap_find(&h->state_by_index, index);

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

int heap_set_frame(struct heap *h, uint32_t site, const struct frame *frame)
{
	uint64_t *at = hashmap_get_or_add(&h->frame_by_site, site);

	if (!at || vec_push(&h->frames, *frame))
		return -ENOMEM;
	*at = h->frames.n;
	return 0;
}

struct frame heap_get_frame(const struct heap *h, uint32_t site)
{
	uint64_t *at = site ? hashmap_find(&h->frame_by_site, site) : NULL;

	return at ? h->frames.v[*at - 1] : (struct frame){ 0 };
}

bool heap_has_frame(const struct heap *h, uint32_t site)
{
	return heap_get_frame(h, site).where != 0;
}

/* The merged site of one line, kind and state. Position + 1, or 0 when out of memory. */
static uint64_t *site_slot(struct heap *h, uint64_t state, enum site_kind kind, struct frame f,
			   bool below)
{
	uint64_t key = (state + 1) << 40 ^ (uint64_t)f.where << 8 ^ (uint64_t)kind << 2 ^
		       (uint64_t)below << 1 ^ f.approx;

	return hashmap_get_or_add(&h->site_by_key, key);
}

static int apply_site(struct heap *h, const struct snapshot_site *from)
{
	uint64_t *state = hashmap_find(&h->state_by_index, from->state), *at;
	struct frame f = heap_get_frame(h, from->index);
	bool below = from->site.flags & LMT_SITE_BELOW;
	struct heap_site *s;
	enum site_kind kind;

	if (!state || !*state)
		return 0; /* its birth is still in the ring: next time */
	kind = site_kind_of(h->states.v[*state - 1].layout, from->site.tag);
	at = site_slot(h, *state - 1, kind, f, below);
	if (!at)
		return -ENOMEM;
	if (!*at) {
		struct heap_site fresh = { .state = (uint32_t)*state - 1, .kind = kind, .frame = f,
					   .below = below };

		if (vec_push(&h->sites, fresh))
			return -ENOMEM;
		*at = h->sites.n;
	}
	s = &h->sites.v[*at - 1];
	s->live_bytes += from->live_bytes;
	s->live_blocks += from->live_blocks;
	s->old_bytes += from->old_bytes;
	s->allocs += from->site.allocs;
	s->alloc_bytes += from->site.alloc_bytes;
	if (from->survived_cycles > s->survived_cycles)
		s->survived_cycles = from->survived_cycles;
	return 0;
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
		s->closed = from->st.flags & (LMT_STATE_DEAD | LMT_STATE_CLOSING);
	}
}

int heap_apply(struct heap *h, const struct snapshot *snap)
{
	apply_states(h, snap);
	vec_each(s, &h->sites) {
		s->live_bytes = s->live_blocks = s->old_bytes = 0;
		s->allocs = s->alloc_bytes = 0;
		s->survived_cycles = 0;
	}
	vec_each(from, &snap->sites) {
		int rc = apply_site(h, from);

		if (rc)
			return rc;
	}
	vec_each(s, &h->sites) {
		trend_add(&s->trend, snap->end_ns, s->old_bytes, h->states.v[s->state].gc_cycles);
		s->verdict = trend_judge(&s->trend, &s->growth_bytes_per_s);
	}
	return 0;
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
