/* SPDX-License-Identifier: MIT */
#include "session_join.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/hashmap.h"
#include "base/log.h"
#include "census/census.h"
#include "session.h"
#include "session_sample.h"

#define MAX_JOINS 3       /* of one place, while it has no answer */
#define MAX_NEWER 64      /* kinds of objects, states */
#define LITTER_SLACK 2    /* objects may be born while a window closes */
#define MAX_HEAP (1024ull << 20) /* copying and walking more takes too long in mid-trace */
#define CPU_NS 3000000000ull    /* …and many states in many tries; the trace waits meanwhile */
#define FIRST_PAUSE_NS 2000000000ull
#define CALM_PAUSE_NS 20000000000ull /* while no heap rises */
#define SHARE 30          /* a census takes at most this part of the time, as one of so many */

struct join {
	struct session *s;
	struct session_target *t;
	vec_of(struct census_ask) asks;
	vec_of(size_t) site; /* of each ask: position in heap.sites */
	vec_of(struct estimate_sample *) sample; /* NULL: of the ledger */
};

/* Half told by windows it may be refuted; told by the ledger it is so, and only the path is missing. */
static bool wants_join(const struct session *s, const struct heap_site *site)
{
	if (s->cost.windows)
		return site->verdict >= VERDICT_GROWING;
	return site->verdict == VERDICT_LEAK && !site->holder && site->joins < MAX_JOINS;
}

static bool is_open(const struct join *j, const struct heap_state *st)
{
	return !st->closed && !st->ended && st->number && st->pid == j->t->target->pid;
}

static bool is_of(const struct join *j, const struct heap_site *site)
{
	return is_open(j, &j->s->heap.states.v[site->state]);
}

static struct heap_site *site_at(struct session *s, uint32_t index, size_t *at_ret)
{
	uint64_t *at = hashmap_find(&s->heap.stacks.site_of, index);

	if (!at || !*at)
		return NULL;
	*at_ret = *at - 1;
	return &s->heap.sites.v[*at - 1];
}

/*
 * Before a thread PUC Lua leaves room for its host, as in the state's own block; from 5.5 on the main thread with
 * its room is a member of global_State.
 */
static uint64_t object_of(const struct heap_state *st, enum block_kind kind, uint64_t block)
{
	const struct lmt_layout *l = st->layout;

	if (kind != KIND_THREAD || !l || l->family != LMT_FAMILY_PUC)
		return block;
	return block + (uint64_t)(l->g_minus_L.off < 0 ? l->block_L.off - l->G_main.off : l->block_L.off);
}

static int ask(struct join *j, size_t site, uint64_t uaddr, bool path, struct estimate_sample *sample)
{
	struct session *s = j->s;
	const struct heap_state *st = &s->heap.states.v[s->heap.sites.v[site].state];
	struct census_ask a = { .G = st->st.g, .wants_path = path,
				.group = site };

	a.uaddr = object_of(st, s->heap.sites.v[site].kind, uaddr);
	if (vec_push(&j->asks, a))
		return -1;
	return vec_push(&j->site, site) || vec_push(&j->sample, sample) ? -1 : 0;
}

/* The blocks of the ledger that tell of a place that leaks. */
static int ask_of_ledger(struct join *j, const struct snapshot *snap)
{
	int rc = 0;

	vec_each(x, &snap->sites) {
		size_t at;
		struct heap_site *site = site_at(j->s, x->index, &at);

		if (!site || !wants_join(j->s, site) || !is_of(j, site))
			continue;
		for (int i = 0; !rc && i < SNAPSHOT_SAMPLES; i++)
			if (x->sample_uaddr[i])
				rc = ask(j, at, x->sample_uaddr[i], true, NULL);
	}
	return rc;
}

/* All that windows have left behind in the process; only of what may leak who holds it. */
static int ask_of_samples(struct join *j)
{
	int rc = 0;

	vec_each(x, &j->s->cost.estimate.samples) {
		size_t at;
		struct heap_site *site = !x->object ? NULL : site_at(j->s, x->site, &at);

		if (!rc && site && is_of(j, site))
			rc = ask(j, at, x->uaddr, !site->holder, x);
	}
	return rc;
}

static uint32_t text_of(struct session *s, const struct census *c, const struct census_path *p)
{
	char text[4096];
	size_t len = 0;

	for (unsigned int i = 0; i < p->n && len < sizeof(text) - 1; i++) {
		if (i)
			text[len++] = EVIDENCE_STEP;
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", strpool_get(c->pool, p->step[i]));
	}
	return p->n ? strpool_add(s->strings, text) : 0;
}

/* Of objects of one kind in one state, while windows are gone through from the latest back. */
struct newer {
	uint32_t state, window;
	enum block_kind kind;
	uint64_t later, here; /* the oldest one known of later windows, of this one */
};

static struct newer *newer_of(struct newer *v, size_t *n, uint32_t state, enum block_kind kind)
{
	for (size_t i = 0; i < *n; i++)
		if (v[i].state == state && v[i].kind == kind)
			return &v[i];
	if (*n == MAX_NEWER)
		return NULL;
	v[*n] = (struct newer){ .state = state, .kind = kind, .window = UINT32_MAX };
	return &v[(*n)++];
}

/*
 * An object that stands in the list before one that a later window saw being born is younger than
 * that: its memory was given away again, even if it looks the same.
 */
static void refute_younger(struct join *j)
{
	struct newer newer[MAX_NEWER];
	size_t n = 0;

	for (size_t i = j->asks.n; i-- > 0;) {
		struct census_ask *a = &j->asks.v[i];
		const struct estimate_sample *x = j->sample.v[i];
		struct newer *w;

		if (x && a->answer == CENSUS_HELD &&
		    strcmp(census_kind_name(a->kind), kind_name(j->s->heap.sites.v[j->site.v[i]].kind)))
			a->answer = CENSUS_ABSENT;
		if (!x || a->answer != CENSUS_HELD || !a->order)
			continue;
		w = newer_of(newer, &n, x->state, j->s->heap.sites.v[j->site.v[i]].kind);
		if (!w)
			continue;
		if (w->window != x->window) {
			w->later = w->here > w->later ? w->here : w->later;
			w->here = 0;
			w->window = x->window;
		}
		if (a->order <= w->later)
			a->answer = CENSUS_ABSENT;
		else if (a->order > w->here)
			w->here = a->order;
	}
}

/* What a later window saw being born at the same address is another one: also where objects have no order. */
static void refute_reborn(struct join *j)
{
	struct hashmap later = { 0 }; /* state and address → window + 1 */

	for (size_t i = j->asks.n; i-- > 0;) {
		const struct estimate_sample *x = j->sample.v[i];
		uint64_t *at = x ? hashmap_get_or_add(&later, (uint64_t)x->state << 48 ^ x->uaddr) : NULL;

		if (!at)
			continue;
		if (!*at)
			*at = x->window + 1ull;
		else if (*at > x->window + 1ull && j->asks.v[i].answer == CENSUS_HELD)
			j->asks.v[i].answer = CENSUS_ABSENT;
	}
	hashmap_deinit(&later);
}

/* What one window saw being born in one state, and the VM keeps in one list: userdata often have their own. */
struct litter {
	uint32_t state;
	bool userdata;
	uint64_t oldest; /* place in the list of all objects */
};

static struct litter *litter_of(struct litter *v, size_t *n, const struct join *j, size_t i)
{
	uint32_t state = j->sample.v[i]->state;
	bool userdata = j->s->heap.sites.v[j->site.v[i]].kind == KIND_USERDATA;

	for (size_t k = 0; k < *n; k++)
		if (v[k].state == state && v[k].userdata == userdata)
			return &v[k];
	if (*n == MAX_NEWER)
		return NULL;
	v[*n] = (struct litter){ .state = state, .userdata = userdata };
	return &v[(*n)++];
}

/*
 * Those of one window stand together in the list, and nothing that was given their memory later is
 * older: what stands further from the oldest than as many as there were is reborn.
 */
static void refute_strays(struct join *j, size_t from, size_t to)
{
	struct litter litters[MAX_NEWER];
	size_t n = 0;

	for (size_t i = from; i < to; i++) {
		struct litter *l = litter_of(litters, &n, j, i);

		if (!l)
			continue;
		if (j->asks.v[i].order > l->oldest && j->asks.v[i].answer != CENSUS_ABSENT)
			l->oldest = j->asks.v[i].order;
	}
	for (size_t i = from; i < to; i++) {
		struct census_ask *a = &j->asks.v[i];
		const struct litter *l = litter_of(litters, &n, j, i);

		if (l && a->order && a->answer == CENSUS_HELD &&
		    l->oldest - a->order > LITTER_SLACK * j->sample.v[i]->litter)
			a->answer = CENSUS_ABSENT;
	}
}

static void refute_strays_of_all(struct join *j)
{
	size_t from = 0;

	for (size_t i = 1; i <= j->asks.n; i++) {
		if (i < j->asks.n && j->sample.v[i] && j->sample.v[from] &&
		    j->sample.v[i]->window == j->sample.v[from]->window)
			continue;
		if (j->sample.v[from])
			refute_strays(j, from, i);
		from = i;
	}
}

/* False when there were none: no heap could be walked. */
static bool take_answers(struct join *j, const struct census *c)
{
	struct session *s = j->s;
	size_t told = 0, held = 0;

	refute_reborn(j);
	refute_younger(j);
	refute_strays_of_all(j);
	for (size_t i = 0; i < j->asks.n; i++) {
		const struct census_ask *a = &j->asks.v[i];
		struct heap_site *site = &s->heap.sites.v[j->site.v[i]];
		struct estimate_sample *sample = j->sample.v[i];

		if (a->answer == CENSUS_NOT_TOLD)
			continue;
		told++;
		held += a->answer == CENSUS_HELD;
		if (sample) {
			estimate_join(sample, a->answer == CENSUS_HELD, site->kind);
			if (!sample->held)
				continue;
		}
		if ((a->answer == CENSUS_HELD || !sample) && a->path.n && !site->holder)
			site->holder = text_of(s, c, &a->path);
	}
	log_debug("a census was asked for %zu objects: %zu are held, %zu gone or replaced", told, held, told - held);
	return told > 0;
}

static void mark_asked(struct join *j)
{
	vec_each(site, &j->s->heap.sites)
		if (wants_join(j->s, site) && is_of(j, site))
			site->joins++;
}

/* The census looks at states that resolve knows: those born since the attach are to be told to it. */
static void resolve_new_states(struct join *j)
{
	bool fresh = false;

	vec_each(st, &j->s->heap.states) {
		int i;

		if (st->pid != j->t->target->pid || !st->number || st->closed || st->ended ||
		    resolved_state_at(j->t->resolved, st->st.main))
			continue;
		if (!fresh && target_refresh(j->t->target, NULL))
			return;
		fresh = true;
		i = resolve_add_state(j->t->resolved, j->t->target, &j->t->mem, st->st.main, st->st.g);
		if (i >= 0)
			j->t->resolved->states.v[i].tag = st->index;
	}
}

/* Once for each process: without a census what windows saw cannot be called a leak. */
static void tell_unjoined(struct join *j, const char *why)
{
	if (j->t->unjoined || !j->s->cost.windows || !j->t->plan)
		return;
	j->t->unjoined = true;
	if (plan_add_blind_spot(j->t->plan, "leaks of what was seen in windows: %s; -m exact needs no census", why))
		log_debug("out of memory");
}

static const struct census_state *answer_of(const struct join *j, const struct census *c, uint32_t index)
{
	vec_each(cs, &c->states)
		if (cs->done && j->t->resolved->states.v[cs->index].tag == index)
			return cs;
	return NULL;
}

/* Of states whose collector hardly runs: what is held takes the place of what a collection leaves. */
static void note_held(struct join *j, const struct census *c)
{
	vec_each(st, &j->s->heap.states) {
		struct gcpoll_state *poll = st->rare && is_open(j, st) ? gcpoll_find(&j->s->gc, st->index) : NULL;
		const struct census_state *cs = answer_of(j, c, st->index);

		if (!poll || !gcstall_wants_census(&poll->stall))
			continue;
		gcstall_census(&poll->stall, cs ? cs->live_bytes : 0);
		if (!cs)
			continue;
		gctide_held(&poll->tide, poll->stall.now.ms, cs->live_bytes);
		log_debug("state %u, whose collector hardly runs: %llu of %llu bytes are held", st->number,
			  (unsigned long long)cs->live_bytes, (unsigned long long)st->heap_bytes);
	}
}

static void take_census(struct join *j, bool last)
{
	struct census_options opt = {
		.pause_budget_ns = j->s->cfg.pause_budget_ms * 1000000ull,
		.cpu_budget_ns = CPU_NS,
		.asks = j->asks.v,
		.n_asks = j->asks.n,
	};
	struct errmsg why;
	struct census c;
	int rc;

	resolve_new_states(j);
	census_init(&c, j->t->target, &j->t->mem, j->t->resolved, &opt);
	rc = census_take(&c, &why);
	if (rc)
		log_debug("no census of process %d: %s", j->t->target->pid, why.text);
	if (rc == -EFBIG)
		tell_unjoined(j, "there is not enough memory for a copy of its heap");
	else if (!rc && take_answers(j, &c))
		j->s->cost.estimate.joined = j->s->cost.estimate.windows;
	else if (!j->s->cost.estimate.joined && last)
		tell_unjoined(j, "no copy of the heap could be made that adds up (see --pause-budget)");
	note_held(j, &c);
	census_deinit(&c);
	mark_asked(j);
}

static bool is_small(const struct session *s, const struct session_target *t)
{
	uint64_t sum = 0;

	vec_each(st, &s->heap.states)
		if (st->pid == t->target->pid && !st->closed && !st->ended)
			sum += st->heap_bytes;
	return sum <= MAX_HEAP;
}

static void join_target(struct session *s, struct session_target *t, const struct snapshot *snap, bool last)
{
	struct join j = { .s = s, .t = t };
	bool wanted = false;

	vec_each(site, &s->heap.sites)
		wanted |= wants_join(s, site) && is_of(&j, site);
	vec_each(st, &s->heap.states)
		wanted |= (s->cost.windows || st->rare) && is_open(&j, st) &&
			  estimate_wants_join(&s->gc, st->index);
	if (!wanted)
		return;
	if (!is_small(s, t)) {
		tell_unjoined(&j, "its heaps are too large for a census in mid-trace");
		return;
	}
	if (!ask_of_samples(&j) && (s->cost.windows || !ask_of_ledger(&j, snap)) && j.asks.n)
		take_census(&j, last);
	vec_deinit(&j.asks);
	vec_deinit(&j.site);
	vec_deinit(&j.sample);
}

/* Not while a window is open: it would be as long as the census. */
void session_join_look(struct session *s, const struct snapshot *snap, bool last)
{
	uint64_t before = clock_ns(CLOCK_PROCESS_CPUTIME_ID), now = clock_ns(CLOCK_MONOTONIC), pause;
	uint64_t least = s->cost.budget.sparse ? CALM_PAUSE_NS : FIRST_PAUSE_NS;

	if (!last && (now < s->next_join_ns || s->cost.budget.phase == BUDGET_WINDOW ||
		      s->cost.budget.phase == BUDGET_CALIBRATE))
		return;
	vec_each(t, &s->targets)
		if (!t->ended && !t->held)
			join_target(s, t, snap, last);
	session_sample_judge(s);
	pause = (clock_ns(CLOCK_PROCESS_CPUTIME_ID) - before) * SHARE;
	s->next_join_ns = clock_ns(CLOCK_MONOTONIC) + (pause > least ? pause : least);
}
