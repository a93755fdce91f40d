/* SPDX-License-Identifier: MIT */
#include "survival.h"

#include <math.h>
#include <string.h>

#define MIN_SPAN_MS 8000     /* of births that had the time to die */
#define MIN_STAY 16          /* blocks that stay */
#define MIN_THIRD 3          /* …of each third */
#define MIN_STAY_SAMPLES 10  /* where walks found them */
#define MIN_THIRD_SAMPLES 2
#define MANY_BLOCKS 300      /* from here on chance moves a third by a few percent */
#define LASTING 10           /* those that stay live so many times longer than was looked on */
#define LASTING_SAMPLES 5    /* …where walks found them, which err less than counts of calls */
#define MAX_DEAD_STAY 6      /* left of those that all die */
#define MIN_DEAD_BORN 50     /* …of so many */
#define DEAD_SHARE 0.05
#define TURNOVER_SHARE 0.5   /* old blocks that go for each that stays: it may be a slow ring */
#define SLACK 1.1            /* the two counts of a look are not of the same moment */

/* Seconds at which an age begins. */
static double age_begin(const struct survival *s, unsigned int i)
{
	return (double)i * s->width_ms / 1000;
}

static unsigned int age_of(const struct survival *s, double age_s)
{
	double i = age_s * 1000 / s->width_ms;

	if (i <= 0)
		return 0;
	return i < SURVIVAL_AGES - 1 ? (unsigned int)i : SURVIVAL_AGES - 1;
}

/* Two stretches become one: the trace is twice as long as they reached. */
static void pair_up(float v[BIRTH_STRETCHES], float weight)
{
	for (unsigned int i = 0; i < BIRTH_STRETCHES; i++)
		v[i] = i < BIRTH_STRETCHES / 2 ? weight * (v[2 * i] + v[2 * i + 1]) : 0;
}

/* Deaths of long ago count half. */
static void widen(struct survival *s)
{
	pair_up(s->born, 1);
	pair_up(s->alive, 1);
	pair_up(s->at_risk, 0.5f);
	pair_up(s->died, 0.5f);
	pair_up(s->let_go, 0.5f);
	s->width_ms *= 2;
}

static double overlap(uint64_t a0, uint64_t a1, uint64_t b0, uint64_t b1)
{
	uint64_t from = a0 > b0 ? a0 : b0, to = a1 < b1 ? a1 : b1;

	return to > from ? (double)(to - from) : 0;
}

/* Of those that were alive at the look before, and those born since, who is missing? */
static void count_deaths(struct survival *s, unsigned int i, double born, double alive,
			 uint64_t now_ms)
{
	double mid = ((double)i + 0.5) * s->width_ms, dt = (double)(now_ms - s->seen_ms) / 1000;
	double from = (double)i * s->width_ms;
	unsigned int at;

	if (mid > (double)now_ms)
		mid = (from + (double)now_ms) / 2;
	at = age_of(s, ((double)now_ms - mid) / 1000);
	s->at_risk[at] += (float)((s->alive[i] + born / 2) * dt);
	if (s->alive[i] + born <= alive)
		return;
	s->died[at] += (float)(s->alive[i] + born - alive);
	if ((i + 1ull) * s->width_ms <= s->old_ms)
		s->let_go[at] += (float)(s->alive[i] + born - alive);
}

void survival_add(struct survival *s, uint64_t since_ms, uint64_t now_ms, uint64_t allocs,
		  const struct births *alive, const struct age_window *w)
{
	uint32_t width = births_width(now_ms);
	double fresh;

	if (!s->width_ms)
		*s = (struct survival){ .width_ms = width, .seen_ms = since_ms };
	else if (allocs < s->allocs) /* what it is charged with has changed */
		*s = (struct survival){ .width_ms = width, .seen_ms = now_ms, .allocs = allocs };
	while (s->width_ms < width)
		widen(s);
	if (now_ms <= s->seen_ms)
		return;
	fresh = (double)(allocs - s->allocs) / (double)(now_ms - s->seen_ms);
	for (unsigned int i = 0; i < BIRTH_STRETCHES; i++) {
		double born = fresh * overlap(s->seen_ms, now_ms, (uint64_t)i * width,
					      (i + 1ull) * width);

		count_deaths(s, i, born, alive->blocks[i], now_ms);
		s->born[i] += (float)born;
		s->alive[i] = (float)alive->blocks[i];
	}
	s->seen_ms = now_ms;
	s->allocs = allocs;
	s->old_ms = w->known ? w->edge_ms[w->certified] : 0;
}

/* Looked on from one age to another, in ms. */
static void add_risk(struct survival *s, uint64_t from_ms, uint64_t to_ms, double weight)
{
	for (unsigned int i = age_of(s, (double)from_ms / 1000); i < SURVIVAL_AGES; i++) {
		uint64_t begin = (uint64_t)i * s->width_ms;

		if (begin >= to_ms)
			return;
		s->at_risk[i] += (float)(weight / 1000 *
					 overlap(from_ms, to_ms, begin, begin + s->width_ms));
	}
}

void survival_begin_walk(struct survival *s, uint64_t now_ms)
{
	uint32_t width = births_width(now_ms);

	s->width_ms = s->width_ms ? s->width_ms : width;
	while (s->width_ms < width)
		widen(s);
	memset(s->alive, 0, sizeof(s->alive));
	s->sampled = true;
	s->seen_ms = s->old_ms = now_ms;
}

void survival_add_sample(struct survival *s, const struct survival_sample *x)
{
	uint64_t gone_ms = x->held ? s->seen_ms : (x->seen_ms + s->seen_ms) / 2;
	unsigned int i = (unsigned int)(x->born_ms / s->width_ms);

	if (i >= BIRTH_STRETCHES || gone_ms < x->seen_ms || x->seen_ms < x->born_ms)
		return;
	if (x->fresh)
		s->born[i] += (float)x->weight;
	if (x->held)
		s->alive[i] += (float)x->weight;
	add_risk(s, x->seen_ms - x->born_ms, gone_ms - x->born_ms, x->weight);
	if (x->held)
		return;
	i = age_of(s, (double)(gone_ms - x->born_ms) / 1000);
	s->died[i] += (float)x->weight;
	if (x->was_held)
		s->let_go[i] += (float)x->weight;
}

static void add_up(float into[BIRTH_STRETCHES], const float from[BIRTH_STRETCHES])
{
	for (unsigned int i = 0; i < BIRTH_STRETCHES; i++)
		into[i] += from[i];
}

void survival_merge(struct survival *into, const struct survival *from)
{
	struct survival other = *from;

	if (!other.width_ms)
		return;
	into->width_ms = into->width_ms ? into->width_ms : other.width_ms;
	while (into->width_ms < other.width_ms)
		widen(into);
	while (other.width_ms < into->width_ms)
		widen(&other);
	add_up(into->born, other.born);
	add_up(into->alive, other.alive);
	add_up(into->at_risk, other.at_risk);
	add_up(into->died, other.died);
	add_up(into->let_go, other.let_go);
	into->seen_ms = other.seen_ms > into->seen_ms ? other.seen_ms : into->seen_ms;
	into->old_ms = into->seen_ms;
	into->sampled = true;
}

struct age_window survival_window(const struct survival *all)
{
	struct age_window w = { .known = all->width_ms, .certified = COHORTS, .cycles = COHORTS };
	double sum = 0, done = 0;
	unsigned int edge = 0;

	for (unsigned int i = 0; i < BIRTH_STRETCHES; i++)
		sum += all->born[i];
	for (unsigned int i = 0; i < BIRTH_STRETCHES; i++) {
		while (edge < COHORTS && all->born[i] > 0 &&
		       sum * edge <= (done + all->born[i]) * COHORTS) {
			double part = (sum * edge / COHORTS - done) / all->born[i];

			w.edge_ms[edge++] = (uint64_t)((i + fmax(part, 0)) * all->width_ms);
		}
		done += all->born[i];
	}
	w.edge_ms[COHORTS] = all->seen_ms;
	return w;
}

/*
 * Kaplan and Meier's product over the ages, of as many as came to each; those that died there were
 * looked on for half of it. The interval is Greenwood's.
 */
bool survival_at(const struct survival *s, double age_s, double *share_ret, double *low_ret,
		 double *high_ret)
{
	double width = (double)s->width_ms / 1000, variance = 0, share = 1;

	for (unsigned int i = 0; i < SURVIVAL_AGES && age_begin(s, i) < age_s; i++) {
		double part = fmin((age_s - age_begin(s, i)) / width, 1);
		double n = s->at_risk[i] / width + s->died[i] / 2.0, d = s->died[i] * part;

		if (n <= 0)
			return false;
		share *= 1 - d / n;
		if (d < n)
			variance += d / (n * (n - d));
	}
	*share_ret = share;
	*low_ret = share * exp(-1.96 * sqrt(variance));
	*high_ret = fmin(share * exp(1.96 * sqrt(variance)), 1);
	return true;
}

/* The part of the state's work that was done by then. */
static double work_by(const struct age_window *w, double ms)
{
	for (unsigned int i = 0; i < COHORTS; i++) {
		double from = (double)w->edge_ms[i], to = (double)w->edge_ms[i + 1];

		if (ms < to)
			return (i + (ms > from ? (ms - from) / (to - from) : 0)) / COHORTS;
	}
	return 1;
}

/* The first stretch behind those of which more is alive than was born: blocks of elsewhere. */
static unsigned int first_sound(const struct survival *s)
{
	unsigned int i = BIRTH_STRETCHES;

	if (s->sampled)
		return 0;
	while (i > 0 && s->alive[i - 1] <= SLACK * s->born[i - 1] + 2)
		i--;
	return i;
}

/* Of the births that all have reached an age, by thirds of the state's work. */
struct left {
	double born[3], stay[3];
	double all_born, all_stay;
	double span_ms;
	double work; /* of the state's, what was done meanwhile */
};

static struct left left_at(const struct survival *s, const struct age_window *w, double age_ms)
{
	double limit = fmin((double)w->edge_ms[w->certified], (double)s->seen_ms - age_ms), all;
	unsigned int end = limit > 0 ? (unsigned int)(limit / s->width_ms) : 0;
	unsigned int first = first_sound(s);
	double from = (double)first * s->width_ms;
	struct left l = { .span_ms = end > first ? (double)(end - first) * s->width_ms : 0 };

	l.work = all = work_by(w, from + l.span_ms) - work_by(w, from);
	for (unsigned int i = first; i < end; i++) {
		double mid = ((double)i + 0.5) * s->width_ms;
		double done = all > 0 ? (work_by(w, mid) - work_by(w, from)) / all : 0;
		unsigned int third = done < 1 / 3.0 ? 0 : done < 2 / 3.0 ? 1 : 2;
		double stay = fmin(s->alive[i], s->born[i]);

		l.born[third] += s->born[i];
		l.stay[third] += stay;
		l.all_born += s->born[i];
		l.all_stay += stay;
	}
	return l;
}

/* From that age on they hardly die, as far as could be seen in that time. */
static bool lasts(const struct survival *s, unsigned int age)
{
	double risk = 0, died = 0, times = s->sampled ? LASTING_SAMPLES : LASTING;

	for (unsigned int i = age; i < SURVIVAL_AGES; i++) {
		risk += s->at_risk[i];
		died += s->died[i];
	}
	return risk >= times * (died + 1) * ((double)s->seen_ms / 1000 - age_begin(s, age));
}

/*
 * As much of the late births stays as of the early ones, of those born and in all. Few samples
 * differ by chance: each count may be as much more as its own scatter.
 */
static bool is_even(const struct left *l, bool sampled)
{
	const double *stay = l->stay, *born = l->born;
	double late = l->all_stay < MANY_BLOCKS ? 0.6 : 0.75, most[3];

	for (unsigned int i = 0; i < 3; i++) {
		if (stay[i] < (sampled ? MIN_THIRD_SAMPLES : MIN_THIRD))
			return false;
		most[i] = stay[i] + (sampled ? sqrt(stay[i]) : 0);
	}
	return most[2] >= late * stay[0] && most[0] * 2 >= stay[2] && most[1] * 2 >= stay[0] &&
	       most[1] * 2 >= stay[2] && most[2] * born[0] >= 0.6 * stay[0] * born[2] &&
	       2 * most[0] * born[2] >= stay[2] * born[0];
}

bool survival_goes_on(const struct survival *s, const struct age_window *w)
{
	struct left l = left_at(s, w, 0);

	return l.stay[2] > 0 && 2 * l.stay[0] * l.born[2] >= l.stay[2] * l.born[0];
}

static double released(const struct survival *s, unsigned int until)
{
	double n = 0;

	for (unsigned int i = 0; i < until; i++)
		n += s->let_go[i];
	return n;
}

struct survival_answer survival_judge(const struct survival *s, const struct age_window *w,
				      uint64_t bytes, uint64_t blocks)
{
	struct survival_answer a = { .says = SURVIVAL_UNKNOWN };
	double size = blocks ? (double)bytes / (double)blocks : 0;
	struct left l = { .span_ms = 0 };
	double share;

	if (!w->known || !s->width_ms || blocks < MAX_DEAD_STAY)
		return a;
	for (unsigned int i = 0; i < SURVIVAL_AGES; i += i / 4 + 1) {
		double age_ms = age_begin(s, i) * 1000;
		struct left now = left_at(s, w, age_ms);

		if (now.span_ms < MIN_SPAN_MS || now.span_ms < age_ms)
			break;
		l = now;
		if (l.all_stay < MAX_DEAD_STAY)
			break; /* there will be no more of those that are older */
		if (l.all_stay < (s->sampled ? MIN_STAY_SAMPLES : MIN_STAY) || !lasts(s, i))
			continue;
		if (!is_even(&l, s->sampled))
			return a;
		a.says = SURVIVAL_STAY;
		a.turns_over = w->late_turnover * (double)w->work * l.work >=
			       TURNOVER_SHARE * l.all_stay;
		a.stay_s = age_ms / 1000;
		a.released = released(s, i);
		a.share = l.all_stay / l.all_born;
		if (!survival_at(s, a.stay_s, &share, &a.low, &a.high))
			a.low = a.high = a.share;
		a.growth_bytes_per_s = l.all_stay * size * 1000 / l.span_ms;
		return a;
	}
	if (l.all_born >= MIN_DEAD_BORN && l.all_stay < MAX_DEAD_STAY &&
	    l.all_stay < DEAD_SHARE * l.all_born)
		a.says = SURVIVAL_DIE;
	return a;
}

enum verdict survival_verdict(enum verdict v, const struct survival_answer *a,
			      const struct age_window *w)
{
	if (a->says == SURVIVAL_DIE && v == VERDICT_GROWING)
		return VERDICT_STABLE;
	if (a->says != SURVIVAL_STAY || v == VERDICT_LEAK || v == VERDICT_YOUNG)
		return v;
	return a->turns_over || !verdict_is_due(w) ? VERDICT_GROWING : VERDICT_LEAK;
}
