/* SPDX-License-Identifier: MIT */
/*
 * simulated: a program's blocks and its collector, by chance, as the looks of an exact trace see
 * them. For tests of verdicts: what is true of each workload is known.
 */
#ifndef LMT_TESTS_SIMULATED_H
#define LMT_TESTS_SIMULATED_H

#include "unit.h"

#include <math.h>

#include "base/vec.h"
#include "heap/how_sure.h"

enum fate {
	FATE_FIXED,   /* lives so long */
	FATE_CHANCE,  /* …on average, with no memory */
	FATE_RING,    /* until so many more were made */
	FATE_RANDOM,  /* …but any of those is replaced */
	FATE_LRU,     /* keys by chance; those not asked for longest go */
	FATE_TTL,     /* swept now and then, once it is so old */
	FATE_SAWTOOTH,/* all go together, each so often */
	FATE_WARM_UP, /* the first stay; later ones are garbage at once */
	FATES,
};

struct workload {
	enum fate fate;
	double per_s;       /* births */
	double life_s;      /* of FIXED, CHANCE, TTL, SAWTOOTH; how long WARM_UP takes */
	unsigned int places;/* of RING, RANDOM, LRU */
	unsigned int keys;  /* of LRU */
	unsigned int k;     /* one in so many is never let go; 0: none */
	bool by_chance;     /* …each by chance, not every k-th */
	bool diurnal;       /* births come and go in waves */
	double cycle_s;     /* of the collector */
	double before_s;    /* it ran for so long before the trace */
	double trace_s;
	uint64_t seed;
};

struct outcome {
	double told_s;   /* when a leak was told that still stood at the end; 0: none */
	bool alarm;      /* a leak was told at some time */
	double alarm_s;
	bool error;      /* …and more than a cache that fills */
	enum verdict last;
};

#define STEP_MS 10
#define LASTS_MS 10000 /* as heap/detect_leak.c waits */
#define NEVER UINT32_MAX
#define MAX_CYCLES 2048

/* Times are in ms since the program began. */
struct block {
	uint32_t born, dies;
	uint32_t key; /* of FATE_LRU */
	uint32_t used;
};

struct sim {
	const struct workload *w;
	uint64_t rng;
	vec_of(uint32_t) places;     /* positions in all */
	vec_of(struct block) all;
	uint32_t attach;             /* when */
	uint32_t born_total, born_traced, old_freed;
	uint32_t cycle_ms;
	struct trend trend;
	struct survival survival;
	uint32_t work[4096];         /* births in the trace, by second */
};

static struct sim sim_of(const struct workload *w)
{
	return (struct sim){ .w = w, .rng = w->seed * 2654435761u + 88172645463325252ull,
			     .attach = (uint32_t)(w->before_s * 100) * STEP_MS,
			     .cycle_ms = (uint32_t)(w->cycle_s * 1000) };
}

static double chance(struct sim *s)
{
	s->rng ^= s->rng << 13, s->rng ^= s->rng >> 7, s->rng ^= s->rng << 17;
	return (double)(s->rng >> 11) / (double)(1ull << 53);
}

static uint32_t life_ms(struct sim *s, uint32_t now)
{
	const struct workload *w = s->w;
	double life = w->life_s * 1000;

	if (w->fate == FATE_FIXED)
		return (uint32_t)life;
	if (w->fate == FATE_CHANCE)
		return (uint32_t)(-log(1 - chance(s)) * life);
	if (w->fate == FATE_TTL) /* swept each fourth of that time */
		return (uint32_t)(ceil((now + life) / (life / 4)) * (life / 4) - now);
	if (w->fate == FATE_SAWTOOTH)
		return (uint32_t)((floor(now / life) + 1) * life - now);
	if (w->fate == FATE_WARM_UP)
		return now < life ? NEVER : 0;
	return NEVER;
}

/* The one that makes room in a cache that is full. */
static void evict(struct sim *s, uint32_t now)
{
	size_t at = 0;

	if (s->places.n < s->w->places)
		return;
	if (s->w->fate == FATE_RANDOM)
		at = (size_t)(chance(s) * (double)s->places.n);
	else if (s->w->fate == FATE_RING)
		at = s->born_total % s->w->places;
	else
		for (size_t i = 1; i < s->places.n; i++)
			if (s->all.v[s->places.v[i]].used < s->all.v[s->places.v[at]].used)
				at = i;
	s->all.v[s->places.v[at]].dies = now;
	s->places.v[at] = s->places.v[s->places.n - 1];
	if (s->w->fate == FATE_RING) { /* places are in order */
		s->places.v[at] = (uint32_t)s->all.n;
		return;
	}
	s->places.n--;
}

static bool is_hit(struct sim *s, uint32_t key, uint32_t now)
{
	for (size_t i = 0; s->w->fate == FATE_LRU && i < s->places.n; i++) {
		struct block *b = &s->all.v[s->places.v[i]];

		if (b->key != key)
			continue;
		b->used = now;
		return true;
	}
	return false;
}

static void make(struct sim *s, uint32_t now)
{
	const struct workload *w = s->w;
	double u = chance(s);
	uint32_t key = (uint32_t)(u * u * w->keys); /* some are asked for more than others */
	bool stays = w->k && (w->by_chance ? chance(s) * w->k < 1 : s->born_total % w->k == 0);
	struct block b = { .born = now, .key = key, .used = now };
	uint32_t life = stays ? NEVER : life_ms(s, now);

	if (!stays && is_hit(s, key, now))
		return;
	b.dies = life == NEVER ? NEVER : now + life;
	if (!stays && w->places) {
		bool full = s->places.n >= w->places;

		evict(s, now);
		if (w->fate != FATE_RING || !full)
			assert_int_equal(vec_push(&s->places, (uint32_t)s->all.n), 0);
	}
	assert_int_equal(vec_push(&s->all, b), 0);
	s->born_total++;
	if (now < s->attach)
		return;
	s->born_traced++;
	s->work[(now - s->attach) / 1000]++;
}

/* The collection that begins next finds it dead, and has freed it when it ends. */
static uint32_t freed_ms(const struct sim *s, const struct block *b)
{
	return b->dies == NEVER ? NEVER : (b->dies / s->cycle_ms + 2) * s->cycle_ms;
}

static uint32_t when_done(const struct sim *s, double work, uint32_t end)
{
	double sum = 0;

	for (uint32_t i = 0; i * 1000 < end; i++) {
		double here = s->work[i];

		if (sum + here >= work)
			return (uint32_t)(1000 * (i + (here > 0 ? (work - sum) / here : 0)));
		sum += here;
	}
	return end;
}

static double done_by(const struct sim *s, uint32_t ms)
{
	double sum = 0;

	for (uint32_t i = 0; i < ms / 1000; i++)
		sum += s->work[i];
	return sum + (double)s->work[ms / 1000] * (ms % 1000) / 1000;
}

/* Frees of what predates the trace, by time since the attach. */
static double old_frees(const struct sim *s, uint32_t from, uint32_t to)
{
	double n = 0;

	for (size_t i = 0; i < s->all.n && s->all.v[i].born < s->attach; i++) {
		uint32_t freed = freed_ms(s, &s->all.v[i]);

		n += freed != NEVER && freed > s->attach + from && freed <= s->attach + to;
	}
	return n;
}

static struct age_window window(const struct sim *s, uint32_t now)
{
	uint32_t cycles = now / s->cycle_ms - s->attach / s->cycle_ms;
	struct age_window a = { .swept = true };
	uint32_t ms = now - s->attach, half, settled = 2 * s->cycle_ms;

	if (cycles < COHORT_CYCLES)
		return a;
	a.known = true;
	a.cycle = cycles - COHORT_CYCLES;
	a.edge_ms[COHORTS] = (now / s->cycle_ms - COHORT_CYCLES + 1) * s->cycle_ms - s->attach;
	a.work = (uint64_t)done_by(s, (uint32_t)a.edge_ms[COHORTS]);
	a.share = (double)a.work / (s->born_traced ? s->born_traced : 1);
	for (unsigned int i = 0; i < COHORTS; i++)
		a.edge_ms[i] = when_done(s, (double)a.work * i / COHORTS,
					 (uint32_t)a.edge_ms[COHORTS]);
	a.cycles = a.cycle + 1;
	a.certified = COHORTS;
	a.settled = cycles > 2;
	half = (uint32_t)a.edge_ms[COHORTS / 2];
	if (!a.settled || ms <= settled)
		return a;
	a.turnover = old_frees(s, settled, ms) / fmax(done_by(s, ms) - done_by(s, settled), 1);
	a.late_turnover = half <= settled ? a.turnover
			: old_frees(s, half, ms) / fmax(done_by(s, ms) - done_by(s, half), 1);
	return a;
}

static inline enum verdict look(struct sim *s, uint32_t now, struct how_sure *sure)
{
	struct age_window a = window(s, now);
	struct births alive = { .blocks = { 0 } };
	struct cohorts old = { .blocks = { 0 } };
	uint64_t n_alive = 0, old_bytes = 0;
	uint32_t ms = now - s->attach;
	struct heap_site site = { .state = 0 };
	enum verdict v;
	double growth;

	for (size_t i = 0; i < s->all.n; i++) {
		const struct block *b = &s->all.v[i];
		uint32_t born = b->born - s->attach;

		if (b->born < s->attach || b->born >= now || freed_ms(s, b) <= now)
			continue;
		n_alive++;
		alive.blocks[born / births_width(ms)]++;
		if (!a.known || born >= a.edge_ms[COHORTS])
			continue;
		old.blocks[cohort_of(&a, born)]++;
		old.bytes[cohort_of(&a, born)] += 100;
		old_bytes += 100;
	}
	survival_add(&s->survival, ms - 1000, ms, s->born_traced, &alive, &a);
	if (a.known)
		trend_add(&s->trend, ms * 1000000ull, old_bytes, a.cycle);
	v = verdict_of(&old, &a, s->born_traced, &s->trend, &growth);
	site.says = survival_judge(&s->survival, &a, n_alive * 100, n_alive);
	how_sure_add(sure, NULL, &site);
	return survival_verdict(v, &site.says, &a);
}

/* At the end there is nothing more to wait for. */
static void note(struct outcome *o, enum verdict v, const struct how_sure *sure, uint32_t ms,
		 uint32_t *since, bool last)
{
	o->last = v;
	if (v == VERDICT_STABLE) {
		*since = 0;
		o->told_s = 0;
	}
	if (v != VERDICT_LEAK)
		return;
	if (!*since)
		*since = ms;
	if (!last && ms - *since < LASTS_MS)
		return;
	if (o->told_s <= 0)
		o->told_s = ms / 1000.0;
	if (!o->alarm)
		o->alarm_s = ms / 1000.0;
	o->alarm = true;
	o->error |= how_sure_severity(sure) == SEVERITY_ERROR;
}

static inline struct outcome simulate(const struct workload *w)
{
	struct sim s = sim_of(w);
	uint32_t end = s.attach + (uint32_t)(w->trace_s * 1000), since = 0;
	struct outcome o = { .told_s = 0 };
	double due = 0;

	for (uint32_t now = 0; now < end; now += STEP_MS) {
		double wave = w->diurnal ? 1 + 0.8 * sin(now / 1000.0 / 7) : 1;

		for (due += w->per_s * wave * STEP_MS / 1000; due >= 1; due--)
			make(&s, now);
		if (now > s.attach && (now + STEP_MS - s.attach) % 1000 == 0) {
			struct how_sure sure = { .reasons = 0 };
			enum verdict v = look(&s, now + STEP_MS, &sure);

			note(&o, v, &sure, now + STEP_MS - s.attach, &since, now + 1000 >= end);
		}
	}
	vec_deinit(&s.places);
	vec_deinit(&s.all);
	return o;
}

static uint64_t workload_rng;

static inline double between(double low, double high)
{
	workload_rng ^= workload_rng << 13, workload_rng ^= workload_rng >> 7;
	workload_rng ^= workload_rng << 17;
	return low + (high - low) * ((double)(workload_rng >> 11) / (double)(1ull << 53));
}

/* How many are tried: LMT_WORKLOADS times as many as usual. They are the same each time. */
static inline unsigned int workloads(unsigned int n)
{
	const char *times = getenv("LMT_WORKLOADS");

	workload_rng = 88172645463325252ull;
	return times ? n * (unsigned int)atoi(times) : n;
}

/* 100 births a second, which live T seconds; one in K stays. */
static inline struct workload sessions(unsigned int k, uint64_t seed)
{
	double t = between(0, 10);

	return (struct workload){ .fate = FATE_FIXED, .per_s = 100, .life_s = t, .k = k,
				  .by_chance = between(0, 1) < 0.5, .cycle_s = between(0.1, 3),
				  .before_s = between(0, 30), .trace_s = 60 + 2 * t,
				  .seed = seed + 1 };
}

static inline struct workload healthy(enum fate fate, uint64_t seed)
{
	bool cache = fate == FATE_RING || fate == FATE_RANDOM || fate == FATE_LRU;
	unsigned int keys = (unsigned int)between(100, 5000);

	return (struct workload){ .fate = fate, .per_s = between(20, 200), .life_s = between(1, 20),
				  .keys = keys,
				  .places = cache ? (unsigned int)between(20, keys / 2.0) : 0,
				  .diurnal = between(0, 1) < 0.3, .cycle_s = between(0.1, 3),
				  .before_s = between(0, 60), .trace_s = 120, .seed = seed + 1 };
}

#endif
