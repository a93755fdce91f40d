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
#define MIN_CHECKED 8     /* samples that say something about a place */
#define MIN_WINDOWS 3     /* that some must have survived of; of a leak, enough cycles too */
#define MIN_SURVIVED 0.25 /* of the samples */
#define MIN_HELD 4        /* objects of the first third of the windows, and of the last */
#define FLOOR_GROWTH 1.03 /* of the heap after collections, before anything in it can grow */
#define LEAK_GROWTH 1.25  /* …before it can be called a leak */
#define LEAK_WINDOWS 6
#define STILL_LEAKS 0.6   /* of what was born, what stays must not fall by more: a cache fills up */
#define CLASS_BYTES 16    /* allocators give out memory in such steps, */
#define HEAD_BYTES 8      /* …of which they keep so much for themselves */
#define BY_CHANCE 3       /* a place must hold so many times what others' objects explain */

void estimate_deinit(struct estimate *e)
{
	vec_deinit(&e->samples);
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

int estimate_count(struct estimate *e, const struct snapshot_site *site)
{
	uint64_t *survivors = hashmap_get_or_add(&e->survivors, (uint64_t)site->state + 1);

	if (!survivors)
		return -ENOMEM;
	*survivors += site->live_blocks;
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
	while (e->samples.n + n > MAX_SAMPLES)
		thin_out(e);
	weight = ldexp(1, (int)e->thinned) / n;
	for (int i = 0; i < SNAPSHOT_SAMPLES; i++) {
		struct estimate_sample s = {
			.site = site->index, .state = site->state, .uaddr = site->sample_uaddr[i],
			.n_bytes = bytes, .cycle = cycle, .window = e->windows,
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

	s->asked = true;
	s->held = held && !(fixed && s->changed);
	s->gone = !s->held;
}

/* Of one third of the windows. */
struct third {
	unsigned int checked, held;
	double blocks; /* that the held stand for */
};

/* What the samples of one site say. */
struct tally {
	unsigned int checked, survived; /* old enough to say anything */
	unsigned int windows, last_window;
	unsigned int held_windows, last_held; /* with objects that a census found held */
	unsigned int old_windows;       /* …that outlived enough cycles */
	struct third old;               /* those objects */
	struct third third[3];          /* of the windows before that census, young ones too */
	double confirmed, held;            /* blocks it was asked about, and found */
	double blocks, bytes;           /* that the survivors stand for */
	double in_window, squares;      /* bytes of the latest window; of those before, squared */
	uint32_t cycles;                /* that the oldest survived */
	uint32_t class;                 /* size */
};

static bool is_mature(const struct estimate_sample *s, uint32_t now)
{
	return now > s->cycle + COHORT_CYCLES;
}

static void count_held(struct tally *t, const struct estimate_sample *s, bool mature,
		       uint32_t confirmed)
{
	struct third *third = &t->third[(uint64_t)s->window * 3 / confirmed];

	t->class = (uint32_t)((s->bytes / s->blocks + HEAD_BYTES + CLASS_BYTES - 1) / CLASS_BYTES);
	third->checked++;
	t->old.checked += mature;
	t->confirmed += s->blocks;
	if (!s->held)
		return;
	third->held++;
	third->blocks += s->blocks;
	t->old.held += mature;
	t->held += s->blocks;
	if (s->window + 1 != t->last_held) {
		t->held_windows++;
		t->old_windows += mature;
	}
	t->last_held = s->window + 1;
}

/* Samples come in the order of their windows: what a census said of a place is known by then. */
static void count(struct tally *t, const struct estimate_sample *s, uint32_t now,
		  uint32_t confirmed)
{
	bool mature = is_mature(s, now), asked = s->object && s->asked;
	double share = 1;

	if (asked)
		count_held(t, s, mature, confirmed);
	else if (!mature)
		return; /* alive or not, that says nothing yet */
	else if (t->confirmed > 0)
		share = t->held / t->confirmed; /* as the others of its place */
	t->checked++;
	if (s->gone || (s->changed && !s->held))
		return;
	t->survived++;
	t->blocks += share * s->blocks;
	t->bytes += share * s->bytes;
	if (s->window + 1 != t->last_window) {
		t->windows++;
		t->squares += t->in_window * t->in_window;
		t->in_window = 0;
	}
	t->in_window += share * s->bytes;
	t->last_window = s->window + 1;
	if (mature && now - s->cycle - 1 > t->cycles)
		t->cycles = now - s->cycle - 1;
}

/*
 * How much bigger the heap is after its latest collection than after the first one seen. What it
 * grew before its collector became rare counts too.
 */
static double floor_growth(struct gcpoll *gc, uint32_t index)
{
	const struct gcpoll_state *p = gcpoll_find(gc, index);
	double floors = p && p->floors >= 2 && p->floor_first
				? (double)p->floor_last / (double)p->floor_first
				: 1;

	return p && p->stall.rare ? fmax(floors, gc_stall_growth(&p->stall)) : floors;
}

bool estimate_wants_census(struct gcpoll *gc, uint32_t index)
{
	const struct gcpoll_state *p = gcpoll_find(gc, index);

	if (p && p->stall.rare)
		return gc_stall_wants_census(&p->stall);
	return floor_growth(gc, index) >= FLOOR_GROWTH;
}

/* At least such a part of them is held as of the others. */
static bool as_many_held(const struct third *t, const struct third *others, double part)
{
	return (double)t->held * others->checked >= part * others->held * t->checked;
}

/*
 * Of the first windows as much is left as of the last, and of what was born as large a part as
 * then: neither a ring nor a cache that is full. What outlived the cycles that a leak must is left
 * as well; the younger only tell that it goes on, else a heap that doubles between cycles would
 * keep its leak to itself. A generational collector has freed nothing that is old.
 */
static bool keeps_all(const struct tally *t, const double born[3])
{
	const struct third *first = &t->third[0], *last = &t->third[2];
	double then = first->blocks / fmax(born[0], 1), now = last->blocks / fmax(born[2], 1);

	return t->held_windows >= LEAK_WINDOWS && t->old_windows >= MIN_WINDOWS &&
	       first->held >= MIN_HELD && last->held >= MIN_HELD && t->old.held >= MIN_HELD &&
	       as_many_held(first, last, 0.7) && as_many_held(&t->old, last, 0.7) &&
	       now >= STILL_LEAKS * then && then >= 0.4 * now;
}

/*
 * What goes as new comes does not grow, though the heap did while it filled. Before the first
 * census bytes that look the same have to do, and most must.
 */
static bool may_grow(const struct tally *t, bool confirmed)
{
	if (confirmed)
		return t->held_windows >= MIN_WINDOWS && t->third[2].held &&
		       as_many_held(&t->third[0], &t->third[2], 0.5);
	return t->survived >= MIN_SURVIVED * t->checked && t->windows >= MIN_WINDOWS;
}

/*
 * Half of the 95 % interval of the bytes, in percent: each window is one draw, those that left
 * nothing included, for what is born together may live together.
 */
static double error_pct(const struct tally *t, uint32_t windows)
{
	double n = windows, squares = t->squares + t->in_window * t->in_window;
	double variance = squares - t->bytes * t->bytes / n;

	if (n < 2 || t->bytes <= 0)
		return 100;
	return variance > 0 ? 196 * sqrt(variance * n / (n - 1)) / t->bytes : 0;
}

/* All places of one state whose blocks are of one size, and may follow each other at an address. */
struct class {
	double confirmed, held;
};

/* Does more live of what the place has made than others' objects at the same addresses explain? */
static bool is_its_own(const struct tally *t, const struct class *c)
{
	return !c || t->held * c->confirmed >= BY_CHANCE * (c->held - t->held) * t->confirmed;
}

struct judge {
	const struct estimate *e;
	struct tally *tally; /* by position in heap.sites */
	vec_of(struct class) classes;
	struct hashmap by_key; /* of state and size → position + 1 */
	uint32_t windows;      /* that have mature samples, or were asked about */
	struct whole {
		double held_bytes;
		uint32_t confirmed; /* windows before its latest census; 0: none taken */
		double born[3]; /* blocks, in each third of the windows before the census */
	} *whole;               /* by position in heap.states: of all places */
	double scale, seconds;
};

static uint64_t class_key(const struct heap_site *s, const struct tally *t)
{
	return (uint64_t)(s->state + 1) << 32 | t->class;
}

static int gather_classes(struct judge *j, const struct heap *h)
{
	for (size_t i = 0; i < h->sites.n; i++) {
		const struct tally *t = &j->tally[i];
		uint64_t *at;

		if (t->confirmed <= 0)
			continue;
		at = hashmap_get_or_add(&j->by_key, class_key(&h->sites.v[i], t));
		if (!at || (!*at && vec_push(&j->classes, (struct class){ 0 })))
			return -ENOMEM;
		if (!*at)
			*at = j->classes.n;
		j->classes.v[*at - 1].confirmed += t->confirmed;
		j->classes.v[*at - 1].held += t->held;
	}
	return 0;
}

/* Whatever share of the calls the windows saw: no more can be alive than the heap is big. */
static double scale_of(const struct judge *j, const struct heap *h, const struct heap_site *s)
{
	double held = j->whole[s->state].held_bytes,
	       heap = (double)h->states.v[s->state].heap_bytes;

	return held * j->scale > heap && heap > 0 ? heap / held : j->scale;
}

static void judge(const struct judge *j, const struct heap *h, struct heap_site *s,
		  const struct tally *t, double growth)
{
	uint64_t *at = hashmap_lookup(&j->by_key, class_key(s, t));
	const struct heap_state *st = &h->states.v[s->state];
	double scale = scale_of(j, h, s);
	bool confirmed = j->whole[s->state].confirmed > 0;

	/* The ledger knows of more than samples, once its cycles are there. */
	if (j->e->only_rare && (!st->rare || s->verdict == VERDICT_LEAK))
		return;
	if (!j->e->only_rare) {
		s->verdict = VERDICT_YOUNG;
		s->says = (struct survival_answer){ 0 }; /* the ledger has holes */
	}
	if (t->checked < MIN_CHECKED)
		return;
	s->survived_cycles = t->cycles;
	if (st->turns && t->cycles > st->gc_cycles + st->censuses)
		s->survived_cycles = st->gc_cycles + st->censuses;
	if (!j->e->only_rare) {
		s->live_bytes = s->old_bytes = (uint64_t)(t->bytes * scale);
		s->live_blocks = (uint64_t)(t->blocks * scale);
		s->error_pct = error_pct(t, j->windows);
		/*
		 * Where something may grow, and what it is no census could tell, nothing is known
		 * to be stable.
		 */
		s->verdict = confirmed || (growth < FLOOR_GROWTH && !st->rare) ? VERDICT_STABLE
									    : VERDICT_YOUNG;
		s->growth_bytes_per_s = 0;
	}
	if (growth < FLOOR_GROWTH || !may_grow(t, confirmed) ||
	    !is_its_own(t, at ? &j->classes.v[*at - 1] : NULL))
		return;
	s->verdict = VERDICT_GROWING;
	if (growth >= LEAK_GROWTH && keeps_all(t, j->whole[s->state].born))
		s->verdict = VERDICT_LEAK;
	s->growth_bytes_per_s = j->seconds > 0 ? (double)s->live_bytes / j->seconds : 0;
}

static void tally_samples(struct judge *j, struct heap *h)
{
	j->windows = j->e->confirmed;
	vec_each(s, &j->e->samples) {
		struct heap_state *st = heap_find_state(h, s->state);

		if (!st)
			continue;
		if (is_mature(s, heap_cycles(st)) && s->window >= j->windows)
			j->windows = s->window + 1;
		if (s->asked && s->window >= j->whole[st - h->states.v].confirmed)
			j->whole[st - h->states.v].confirmed = s->window + 1;
	}
	vec_each(s, &j->e->samples) {
		uint64_t *at = hashmap_lookup(&h->stacks.site_of, s->site);
		struct heap_state *st = heap_find_state(h, s->state);
		struct whole *whole = st ? &j->whole[st - h->states.v] : NULL;

		if (!at || !*at || !st)
			continue;
		count(&j->tally[*at - 1], s, heap_cycles(st), whole->confirmed);
		if (s->object && s->asked)
			whole->born[(uint64_t)s->window * 3 / whole->confirmed] += s->blocks;
	}
	for (size_t i = 0; i < h->sites.n; i++)
		j->whole[h->sites.v[i].state].held_bytes += j->tally[i].bytes;
}

/* Windows do not see what is let go: what lives in a state is what lives of its sites. */
static void add_up_states(struct heap *h)
{
	vec_each(st, &h->states)
		if (!st->ended)
			st->live_bytes = st->live_blocks = 0;
	vec_each(s, &h->sites) {
		struct heap_state *st = &h->states.v[s->state];

		if (st->ended)
			continue;
		st->live_bytes += s->live_bytes;
		st->live_blocks += s->live_blocks;
	}
}

void estimate_apply(const struct estimate *e, struct heap *h, struct gcpoll *gc, double scale,
		    double seconds)
{
	auto_free struct tally *tally = calloc(h->sites.n + 1, sizeof(*tally));
	auto_free struct whole *whole = calloc(h->states.n + 1, sizeof(*whole));
	struct judge j = {
		.e = e, .tally = tally, .whole = whole, .scale = scale, .seconds = seconds
	};

	if (!tally || !whole)
		return;
	tally_samples(&j, h);
	if (!gather_classes(&j, h))
		for (size_t i = 0; i < h->sites.n; i++)
			judge(&j, h, &h->sites.v[i], &tally[i],
			      floor_growth(gc, h->states.v[h->sites.v[i].state].index));
	if (!e->only_rare)
		add_up_states(h);
	vec_deinit(&j.classes);
	hashmap_deinit(&j.by_key);
}
