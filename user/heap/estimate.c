/* SPDX-License-Identifier: MIT */
#include "estimate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hashmap.h"

#define HEADER_WORDS 2    /* link of the list of all objects, colour and tag */
#define CHANGED_WORDS 1   /* more may change in an object that lives: the collector's own links */
#define MAX_SAMPLES 8192
#define MIN_CHECKED 8     /* samples that say something about a place */
#define MIN_WINDOWS 3     /* that some must have survived of */
#define MIN_SURVIVED 0.25 /* of the samples */
#define FLOOR_GROWTH 1.03 /* of the heap after collections, before anything in it can grow */
#define LEAK_GROWTH 1.25  /* …before it can be called a leak */
#define LEAK_WINDOWS 6

void estimate_deinit(struct estimate *e)
{
	vec_deinit(&e->samples);
}

/* Makes room: every second sample stands for its neighbour too. */
static void thin_out(struct estimate *e)
{
	size_t n = 0;

	for (size_t i = 0; i < e->samples.n; i++) {
		struct estimate_sample s = e->samples.v[i];

		if (i % 2)
			continue;
		s.blocks *= 2;
		s.bytes *= 2;
		e->samples.v[n++] = s;
	}
	e->samples.n = n;
}

int estimate_add(struct estimate *e, const struct snapshot_site *site, uint32_t cycle,
		 const struct estimate_reader *r)
{
	uint64_t size = site->live_blocks ? site->live_bytes / site->live_blocks : 0;
	uint32_t words = (uint32_t)(size / 8 < ESTIMATE_WORDS ? size / 8 : ESTIMATE_WORDS), n = 0;

	for (int i = 0; i < SNAPSHOT_SAMPLES; i++)
		n += site->sample_uaddr[i] != 0;
	if (words <= HEADER_WORDS || !n)
		return 0;
	if (e->samples.n + n > MAX_SAMPLES)
		thin_out(e);
	for (int i = 0; i < SNAPSHOT_SAMPLES; i++) {
		struct estimate_sample s = {
			.site = site->index, .state = site->state, .uaddr = site->sample_uaddr[i],
			.n_words = words, .cycle = cycle, .window = e->windows,
			.blocks = (double)site->live_blocks / n, .bytes = (double)site->live_bytes / n,
		};

		if (!s.uaddr || !r->read(r->ctx, s.state, s.uaddr, s.words, words))
			continue;
		if (vec_push(&e->samples, s))
			return -ENOMEM;
	}
	return 0;
}

static bool is_same(const struct estimate_sample *s, const uint64_t *words)
{
	uint32_t changed = 0;

	for (uint32_t i = HEADER_WORDS; i < s->n_words; i++)
		changed += words[i] != s->words[i];
	return changed <= (s->n_words > HEADER_WORDS + 2 ? CHANGED_WORDS : 0);
}

void estimate_check(struct estimate *e, const struct estimate_reader *r)
{
	vec_each(s, &e->samples) {
		uint64_t words[ESTIMATE_WORDS];

		if (!s->gone)
			s->gone = !r->read(r->ctx, s->state, s->uaddr, words, s->n_words) ||
				  !is_same(s, words);
	}
}

/* Of one third of the windows. */
struct third {
	unsigned int checked, survived;
	double blocks; /* that the survivors stand for */
};

/* What the samples of one site say. */
struct tally {
	unsigned int checked, survived; /* old enough to say anything */
	unsigned int windows, last_window;
	struct third third[3];
	double blocks, bytes;           /* that the survivors stand for */
	uint32_t cycles;                /* that the oldest survived */
};

static bool is_mature(const struct estimate_sample *s, uint32_t now)
{
	return now > s->cycle + COHORT_CYCLES;
}

static void count(struct tally *t, const struct estimate_sample *s, uint32_t now, uint32_t windows)
{
	struct third *third = &t->third[windows ? (uint64_t)s->window * 3 / windows : 0];

	t->checked++;
	third->checked++;
	if (s->gone)
		return;
	third->survived++;
	third->blocks += s->blocks;
	t->survived++;
	t->blocks += s->blocks;
	t->bytes += s->bytes;
	if (s->window + 1 != t->last_window)
		t->windows++;
	t->last_window = s->window + 1;
	if (now - s->cycle - 1 > t->cycles)
		t->cycles = now - s->cycle - 1;
}

/* How much bigger the heap is after its latest collection than after the first one seen. */
static double floor_growth(const struct gcpoll *gc, uint32_t index)
{
	vec_each(p, &gc->states)
		if (p->index == index && p->floors >= 2 && p->floor_first)
			return (double)p->floor_last / (double)p->floor_first;
	return 1;
}

/*
 * Of the first windows as much is left as of the last, and the last have left as much as the first:
 * neither a ring nor a cache that is full. A generational collector has freed nothing that is old.
 */
static bool is_leak(const struct tally *t, double growth)
{
	const struct third *first = &t->third[0], *last = &t->third[2];

	return growth >= LEAK_GROWTH && t->windows >= LEAK_WINDOWS && first->survived >= 4 &&
	       last->survived >= 4 &&
	       (double)first->survived * last->checked >= 0.7 * last->survived * first->checked &&
	       last->blocks >= 0.4 * first->blocks && first->blocks >= 0.4 * last->blocks;
}

static void judge(struct heap_site *s, const struct tally *t, double growth, double scale,
		  double seconds)
{
	if (t->checked < MIN_CHECKED) {
		s->verdict = VERDICT_YOUNG;
		return;
	}
	s->live_bytes = s->old_bytes = (uint64_t)(t->bytes * scale);
	s->live_blocks = (uint64_t)(t->blocks * scale);
	s->survived_cycles = t->cycles;
	s->verdict = VERDICT_STABLE;
	s->growth_bytes_per_s = 0;
	if (t->survived < MIN_SURVIVED * t->checked)
		return;
	if (growth < FLOOR_GROWTH || t->windows < MIN_WINDOWS) {
		s->verdict = growth < FLOOR_GROWTH ? VERDICT_STABLE : VERDICT_YOUNG;
		return;
	}
	s->verdict = is_leak(t, growth) ? VERDICT_LEAK : VERDICT_GROWING;
	s->growth_bytes_per_s = seconds > 0 ? t->bytes * scale / seconds : 0;
}

void estimate_apply(const struct estimate *e, struct heap *h, const struct gcpoll *gc, double scale,
		    double seconds)
{
	auto_free struct tally *tally = calloc(h->sites.n + 1, sizeof(*tally));
	uint32_t windows = 0; /* that have mature samples */

	if (!tally)
		return;
	vec_each(s, &e->samples) {
		struct heap_state *st = heap_find_state(h, s->state);

		if (st && is_mature(s, st->gc_cycles) && s->window >= windows)
			windows = s->window + 1;
	}
	vec_each(s, &e->samples) {
		uint64_t *at = hashmap_find(&h->stacks.site_of, s->site);
		struct heap_state *st = heap_find_state(h, s->state);

		if (at && *at && st && is_mature(s, st->gc_cycles))
			count(&tally[*at - 1], s, st->gc_cycles, windows);
	}
	for (size_t i = 0; i < h->sites.n; i++)
		judge(&h->sites.v[i], &tally[i],
		      floor_growth(gc, h->states.v[h->sites.v[i].state].index), scale, seconds);
}
