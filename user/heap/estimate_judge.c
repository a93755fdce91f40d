/* SPDX-License-Identifier: MIT */
/*
 * What samples say of places. Before a census told of them bytes that look the same have to do, and
 * nothing is called a leak; then they are judged by their survival, like what the ledger knows.
 */
#include "estimate.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/hashmap.h"

#define MIN_CHECKED 8     /* samples that say something about a place */
#define MIN_WINDOWS 3     /* that some must have survived of; of a leak, enough cycles too */
#define MIN_SURVIVED 0.25 /* of the samples */
#define FLOOR_GROWTH 1.03 /* of the heap after collections, before anything in it can grow */
#define LEAK_GROWTH 1.08  /* …before it can be called a leak */
#define LEAK_SHARE 0.3    /* of what is said to stay, that the heap must have grown by */
#define LEAK_WINDOWS 6
#define LEAK_SAMPLES 8    /* that stay, */
#define LEAK_THIRD 2      /* …so many of each third */
#define CLASS_BYTES 16    /* allocators give out memory in such steps, */
#define HEAD_BYTES 8      /* …of which they keep so much for themselves */
#define MOST 0.7
#define BY_CHANCE 3       /* a place must hold so many times what others' objects explain */

/* What the samples of one site say. */
struct tally {
	unsigned int checked, survived; /* old enough to say anything */
	unsigned int windows, last_window;
	unsigned int held_windows, last_held; /* with objects that a census found held */
	unsigned int stay[3];           /* samples older than what its survival says, by thirds */
	double confirmed, held;            /* blocks a census was asked about, and found */
	double blocks, bytes;           /* that the survivors stand for */
	double in_window, squares;      /* bytes of the latest window; of those before, squared */
	uint32_t cycles;                /* that the oldest survived */
	uint32_t class;                 /* size */
	struct survival survival;
	struct survival_answer says;
};

static bool is_mature(const struct estimate_sample *s, uint32_t now)
{
	return now > s->cycle + COHORT_CYCLES;
}

static uint32_t class_of(double bytes)
{
	return (uint32_t)((bytes + HEAD_BYTES + CLASS_BYTES - 1) / CLASS_BYTES);
}

static void count_held(struct tally *t, const struct estimate_sample *s)
{
	t->confirmed += s->blocks;
	if (!s->held)
		return;
	t->held += s->blocks;
	t->held_windows += s->window + 1 != t->last_held;
	t->last_held = s->window + 1;
}

/* Samples come in the order of their windows: what a census said of a place is known by then. */
static void count(struct tally *t, const struct estimate_sample *s, uint32_t now)
{
	bool mature = is_mature(s, now), asked = s->object && s->asked;
	double share = 1;

	if (asked)
		count_held(t, s);
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

/* …in bytes. */
static double floor_gain(struct gcpoll *gc, uint32_t index)
{
	const struct gcpoll_state *p = gcpoll_find(gc, index);

	if (p && p->stall.rare && p->stall.held_first)
		return (double)p->stall.held_last - (double)p->stall.held_first;
	return p ? (double)p->floor_last - (double)p->floor_first : 0;
}

bool estimate_wants_census(struct gcpoll *gc, uint32_t index)
{
	const struct gcpoll_state *p = gcpoll_find(gc, index);

	if (p && p->stall.rare)
		return gc_stall_wants_census(&p->stall);
	return floor_growth(gc, index) >= FLOOR_GROWTH;
}

/*
 * What goes as new comes does not grow, though the heap did while it filled. Before the first
 * census bytes that look the same have to do, and most must.
 */
static bool may_grow(const struct tally *t, const struct age_window *w, bool confirmed)
{
	if (!confirmed)
		return t->survived >= MIN_SURVIVED * t->checked && t->windows >= MIN_WINDOWS;
	if (t->says.says == SURVIVAL_STAY)
		return true;
	return t->says.says != SURVIVAL_DIE && t->held_windows >= MIN_WINDOWS &&
	       survival_goes_on(&t->survival, w);
}

/* Enough samples stay, and the heap has grown by what they stand for, or a good part of it. */
static bool is_leak(const struct tally *t, const struct survival *all, double growth, double gain)
{
	double s = (double)all->seen_ms / 1000;
	unsigned int n = t->stay[0] + t->stay[1] + t->stay[2];

	return t->says.says == SURVIVAL_STAY && growth >= LEAK_GROWTH &&
	       gain >= LEAK_SHARE * t->says.growth_bytes_per_s * (s - t->says.stay_s) &&
	       t->held_windows >= LEAK_WINDOWS && n >= LEAK_SAMPLES && t->stay[0] >= LEAK_THIRD &&
	       t->stay[1] >= LEAK_THIRD && t->stay[2] >= LEAK_THIRD;
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

/*
 * Does more live of what the place has made than others' objects at the same addresses explain?
 * Most of it cannot be others': what was born since is told apart by its place in the list.
 */
static bool is_its_own(const struct tally *t, const struct class *c)
{
	return !c || t->held >= MOST * t->confirmed ||
	       t->held * c->confirmed >= BY_CHANCE * (c->held - t->held) * t->confirmed;
}

struct judge {
	const struct estimate *e;
	struct tally *tally; /* by position in heap.sites */
	vec_of(struct class) classes;
	struct hashmap by_key; /* of state and size → position + 1 */
	uint32_t windows;      /* that have mature samples, or were asked about */
	struct whole {
		double held_bytes;
		struct survival all; /* of all its places */
		struct age_window window;
	} *whole;              /* by position in heap.states */
	double scale, seconds;
};

static struct tally *tally_of(const struct judge *j, const struct heap *h, uint32_t site)
{
	uint64_t *at = hashmap_lookup(&h->stacks.site_of, site);

	return at && *at ? &j->tally[*at - 1] : NULL;
}

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

static void judge_estimate(const struct judge *j, struct heap_site *s, const struct tally *t,
			   const struct heap_state *st, double growth, double scale)
{
	bool confirmed = j->whole[s->state].all.seen_ms > 0;

	s->live_bytes = s->old_bytes = (uint64_t)(t->bytes * scale);
	s->live_blocks = (uint64_t)(t->blocks * scale);
	s->error_pct = error_pct(t, j->windows);
	/* Where something may grow, and what it is no census could tell, nothing is stable. */
	s->verdict = confirmed || (growth < FLOOR_GROWTH && !st->rare) ? VERDICT_STABLE
								    : VERDICT_YOUNG;
	s->growth_bytes_per_s = 0;
}

static void judge(const struct judge *j, const struct heap *h, struct heap_site *s,
		  const struct tally *t, double growth, double gain)
{
	uint64_t *at = hashmap_lookup(&j->by_key, class_key(s, t));
	const struct heap_state *st = &h->states.v[s->state];
	const struct whole *whole = &j->whole[s->state];

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
	if (!j->e->only_rare)
		judge_estimate(j, s, t, st, growth, scale_of(j, h, s));
	if (growth < FLOOR_GROWTH || !may_grow(t, &whole->window, whole->all.seen_ms > 0) ||
	    !is_its_own(t, at ? &j->classes.v[*at - 1] : NULL))
		return;
	s->verdict = VERDICT_GROWING;
	s->says = t->says;
	s->growth_bytes_per_s = j->seconds > 0 ? (double)s->live_bytes / j->seconds : 0;
	if (!is_leak(t, &whole->all, growth, gain))
		return;
	s->verdict = VERDICT_LEAK;
	if (!j->e->only_rare)
		s->growth_bytes_per_s = t->says.growth_bytes_per_s;
}

static void tally_places(struct judge *j, const struct heap *h)
{
	vec_each(p, &j->e->places) {
		struct tally *t = tally_of(j, h, p->site);

		if (!t)
			continue;
		t->class = class_of((double)p->block_bytes);
		t->checked += p->n_gone;
		t->confirmed += p->gone_blocks;
		survival_merge(&t->survival, &p->survival);
		survival_merge(&j->whole[h->sites.v[t - j->tally].state].all, &p->survival);
	}
}

static void tally_samples(struct judge *j, struct heap *h)
{
	j->windows = j->e->confirmed;
	vec_each(s, &j->e->samples) {
		struct tally *t = tally_of(j, h, s->site);
		struct heap_state *st = heap_find_state(h, s->state);

		if (!t || !st)
			continue;
		if (is_mature(s, heap_cycles(st)) && s->window >= j->windows)
			j->windows = s->window + 1;
		count(t, s, heap_cycles(st));
	}
	for (size_t i = 0; i < h->sites.n; i++)
		j->whole[h->sites.v[i].state].held_bytes += j->tally[i].bytes;
}

/* Of those that stay how many samples there are is what their weight does not tell. */
static void tally_stay(struct judge *j, const struct heap *h)
{
	vec_each(s, &j->e->samples) {
		struct tally *t = tally_of(j, h, s->site);
		const struct age_window *w;

		if (!t || !s->held || t->says.says != SURVIVAL_STAY ||
		    s->born_ms + (uint64_t)(1000 * t->says.stay_s) > s->seen_ms)
			continue;
		w = &j->whole[h->sites.v[t - j->tally].state].window;
		t->stay[cohort_of(w, s->born_ms) * 3 / COHORTS]++;
	}
}

static void ask_survival(struct judge *j, const struct heap *h)
{
	for (size_t i = 0; i < h->states.n; i++)
		j->whole[i].window = survival_window(&j->whole[i].all);
	for (size_t i = 0; i < h->sites.n; i++) {
		struct tally *t = &j->tally[i];
		const struct heap_site *s = &h->sites.v[i];
		double size = t->blocks > 0 ? t->bytes / t->blocks : 0;

		/* a block of the samples' stands for so many of the program's */
		t->says = survival_judge(&t->survival, &j->whole[s->state].window,
					 (uint64_t)(1000 * size * scale_of(j, h, s)), 1000);
	}
	tally_stay(j, h);
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
	tally_places(&j, h);
	tally_samples(&j, h);
	ask_survival(&j, h);
	if (!gather_classes(&j, h))
		for (size_t i = 0; i < h->sites.n; i++) {
			uint32_t index = h->states.v[h->sites.v[i].state].index;

			judge(&j, h, &h->sites.v[i], &tally[i], floor_growth(gc, index),
			      floor_gain(gc, index));
		}
	if (!e->only_rare)
		add_up_states(h);
	vec_deinit(&j.classes);
	hashmap_deinit(&j.by_key);
}
