/* SPDX-License-Identifier: MIT */
#include "estimate.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hashmap.h"

#define LINK_BYTES 8      /* of the list of all objects; behind it only the colour changes */
#define CHANGED_WORDS 1   /* more may change in an object that lives: the collector's own links */
#define MAX_SAMPLES 8192
#define MAX_PLACES 4096

void estimate_deinit(struct estimate *e)
{
	vec_deinit(&e->samples);
	vec_deinit(&e->places);
	hashmap_deinit(&e->place_of);
	hashmap_deinit(&e->survivors);
}

/* One sample in 2^thinned, by chance: in step with the order of places it would favour some. */
static bool is_chosen(const struct estimate_sample *s, unsigned int thinned)
{
	uint64_t x = (s->uaddr ^ (uint64_t)s->window << 48) * 0x9e3779b97f4a7c15ull;

	return !thinned || !(x >> (64 - thinned));
}

/* Makes room: each sample that stays stands for two, and so will those to come. */
static void thin_out(struct estimate *e)
{
	size_t n = 0;

	e->thinned++;
	for (size_t i = 0; i < e->samples.n; i++) {
		struct estimate_sample s = e->samples.v[i];

		if (!is_chosen(&s, e->thinned))
			continue;
		s.blocks *= 2;
		s.bytes *= 2;
		e->samples.v[n++] = s;
	}
	e->samples.n = n;
}

void estimate_open_window(struct estimate *e, uint64_t now_ms)
{
	e->now_ms = now_ms;
}

int estimate_count(struct estimate *e, const struct snapshot_site *site)
{
	uint64_t *survivors = hashmap_get_or_add(&e->survivors, (uint64_t)site->state + 1);

	if (!survivors)
		return -ENOMEM;
	*survivors += site->live_blocks;
	return 0;
}

static uint64_t place_key(uint32_t site, uint32_t state)
{
	return (uint64_t)(state + 1) << 32 | site;
}

static struct estimate_place *place_of(struct estimate *e, const struct estimate_sample *s)
{
	uint64_t *at = hashmap_lookup(&e->place_of, place_key(s->site, s->state));

	return at && *at ? &e->places.v[*at - 1] : NULL;
}

static int add_place(struct estimate *e, const struct snapshot_site *site, uint64_t size)
{
	uint64_t *at = hashmap_get_or_add(&e->place_of, place_key(site->index, site->state));

	if (!at)
		return -ENOMEM;
	if (*at || e->places.n == MAX_PLACES)
		return 0;
	if (vec_push(&e->places, (struct estimate_place){ .site = site->index, .state = site->state,
							  .block_bytes = size }))
		return -ENOMEM;
	*at = e->places.n;
	return 0;
}

int estimate_add(struct estimate *e, const struct snapshot_site *site, uint32_t loose,
		 uint32_t cycle, const struct estimate_reader *r)
{
	uint64_t size = site->live_blocks ? site->live_bytes / site->live_blocks : 0;
	uint32_t bytes = (uint32_t)(size < ESTIMATE_BYTES ? size : ESTIMATE_BYTES), n = 0;
	double weight;

	for (int i = 0; i < SNAPSHOT_SAMPLES; i++)
		n += site->sample_uaddr[i] != 0;
	if (bytes <= 2 * LINK_BYTES || !n)
		return 0;
	if (add_place(e, site, size))
		return -ENOMEM;
	while (e->samples.n + n > MAX_SAMPLES)
		thin_out(e);
	weight = ldexp(1, (int)e->thinned) / n;
	for (int i = 0; i < SNAPSHOT_SAMPLES; i++) {
		struct estimate_sample s = {
			.site = site->index, .state = site->state, .uaddr = site->sample_uaddr[i],
			.n_bytes = bytes, .cycle = cycle, .window = e->windows,
			.born_ms = e->now_ms, .seen_ms = e->now_ms,
			.loose = loose,
			.blocks = (double)site->live_blocks * weight,
			.bytes = (double)site->live_bytes * weight,
		};

		if (!s.uaddr || !is_chosen(&s, e->thinned) ||
		    !r->read(r->ctx, s.state, s.uaddr, s.text, bytes))
			continue;
		s.object = r->is_object(r->ctx, site, s.uaddr);
		if (vec_push(&e->samples, s))
			return -ENOMEM;
	}
	return 0;
}

void estimate_close_window(struct estimate *e)
{
	for (size_t i = e->samples.n; i-- > 0 && e->samples.v[i].window == e->windows;) {
		struct estimate_sample *s = &e->samples.v[i];
		uint64_t *survivors = hashmap_lookup(&e->survivors, (uint64_t)s->state + 1);

		s->survivors = survivors ? *survivors : 0;
	}
	hashmap_deinit(&e->survivors);
	e->windows++;
}

static bool is_same(const struct estimate_sample *s, uint8_t *now)
{
	uint32_t changed = 0;

	/* Type and colour lie next to each other, in either order. */
	now[LINK_BYTES] = s->text[LINK_BYTES];
	now[LINK_BYTES + 1] = s->text[LINK_BYTES + 1];
	for (uint32_t i = LINK_BYTES; i < s->n_bytes; i += 8)
		changed += i != s->loose && memcmp(now + i, s->text + i,
						   s->n_bytes - i < 8 ? s->n_bytes - i : 8) != 0;
	return changed <= (s->n_bytes > 5 * 8 ? CHANGED_WORDS : 0);
}

void estimate_check(struct estimate *e, const struct estimate_reader *r)
{
	vec_each(s, &e->samples) {
		uint8_t now[ESTIMATE_BYTES];

		if (!s->changed && !s->gone)
			s->changed = !r->read(r->ctx, s->state, s->uaddr, now, s->n_bytes) ||
				     !is_same(s, now);
	}
}

void estimate_confirm(struct estimate_sample *s, bool held, enum block_kind kind)
{
	bool fixed = kind == KIND_STRING || kind == KIND_FUNCTION;

	s->was_held = s->asked && s->held;
	s->fresh = !s->asked;
	s->asked = s->answered = true;
	s->held = held && !(fixed && s->changed);
	s->gone = !s->held;
}

/* What is gone is counted with its place; there is no need to ask for it again. */
static void take_answer(struct estimate *e, struct estimate_place *place,
			const struct estimate_sample *s)
{
	if (place->walk_ms != e->now_ms)
		survival_begin_walk(&place->survival, e->now_ms);
	place->walk_ms = e->now_ms;
	survival_add_sample(&place->survival, &(struct survival_sample){
		.born_ms = s->born_ms, .seen_ms = s->seen_ms, .weight = s->blocks,
		.fresh = s->fresh, .was_held = s->was_held, .held = s->held });
	if (!s->gone)
		return;
	place->n_gone++;
	place->gone_blocks += s->blocks;
}

void estimate_close_walk(struct estimate *e, uint64_t now_ms)
{
	size_t n = 0;

	e->now_ms = now_ms;
	for (size_t i = 0; i < e->samples.n; i++) {
		struct estimate_sample s = e->samples.v[i];
		struct estimate_place *place = s.answered && s.object ? place_of(e, &s) : NULL;

		if (place) {
			take_answer(e, place, &s);
			if (s.gone)
				continue;
		}
		if (s.answered)
			s.seen_ms = now_ms;
		s.answered = false;
		e->samples.v[n++] = s;
	}
	e->samples.n = n;
	e->confirmed = e->windows;
}
