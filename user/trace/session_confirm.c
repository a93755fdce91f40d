/* SPDX-License-Identifier: MIT */
#include "session_confirm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/hashmap.h"
#include "base/log.h"
#include "census/census.h"
#include "heap/confirm.h"
#include "session.h"
#include "session_sample.h"

#define MAX_CONFIRMS 3       /* of one place, while it has no answer */
#define MAX_HEAP (1024ull << 20) /* copying and walking more takes too long in mid-trace */
#define CPU_NS 3000000000ull    /* …and many states in many tries; the trace waits meanwhile */
#define FIRST_PAUSE_NS 2000000000ull
#define CALM_PAUSE_NS 20000000000ull /* while no heap rises */
#define SHARE 30          /* a census takes at most one part in this many of the time */

struct confirming {
	struct session *s;
	struct session_target *t;
	vec_of(struct census_ask) asks;
	vec_of(struct confirm_object) of; /* each ask */
};

/* What windows suggest may be refuted; what the ledger says is so, and only the path is missing. */
static bool wants_confirming(const struct session *s, const struct heap_site *site)
{
	if (s->cost.windows)
		return site->verdict >= VERDICT_GROWING;
	return site->verdict == VERDICT_LEAK && !site->holder && site->confirms < MAX_CONFIRMS;
}

static bool is_open(const struct confirming *j, const struct heap_state *st)
{
	return !st->closed && !st->ended && st->number && st->pid == j->t->target->pid;
}

static bool is_of(const struct confirming *j, const struct heap_site *site)
{
	return is_open(j, &j->s->heap.states.v[site->state]);
}

static struct heap_site *site_at(struct session *s, uint32_t index, size_t *at_ret)
{
	uint64_t *at = hashmap_lookup(&s->heap.stacks.site_of, index);

	if (!at || !*at)
		return NULL;
	*at_ret = *at - 1;
	return &s->heap.sites.v[*at - 1];
}

/*
 * Before a thread PUC Lua leaves room for its host, as in the state's own block; from 5.5 on the
 * main thread with its room is a member of global_State.
 */
static uint64_t object_of(const struct heap_state *st, enum block_kind kind, uint64_t block)
{
	const struct lmt_layout *l = st->layout;

	if (kind != KIND_THREAD || !l || l->family != LMT_FAMILY_PUC)
		return block;
	return block +
	       (uint64_t)(l->g_minus_L.off < 0 ? l->block_L.off - l->G_main.off : l->block_L.off);
}

static int ask(struct confirming *j, size_t site, uint64_t uaddr, bool path,
	       struct estimate_sample *sample)
{
	const struct heap_site *h = &j->s->heap.sites.v[site];
	const struct heap_state *st = &j->s->heap.states.v[h->state];
	struct census_ask a = { .G = st->st.g,
				.uaddr = object_of(st, h->kind, uaddr),
				.wants_path = path,
				.group = site };
	struct confirm_object of = { .sample = sample, .site = site, .kind = h->kind };

	return vec_push(&j->asks, a) || vec_push(&j->of, of) ? -1 : 0;
}

/* The blocks of the ledger that tell of a place that leaks. */
static int ask_of_ledger(struct confirming *j, const struct snapshot *snap)
{
	int rc = 0;

	vec_each(x, &snap->sites) {
		size_t at;
		struct heap_site *site = site_at(j->s, x->index, &at);

		if (!site || !wants_confirming(j->s, site) || !is_of(j, site))
			continue;
		for (int i = 0; !rc && i < SNAPSHOT_SAMPLES; i++)
			if (x->sample_uaddr[i])
				rc = ask(j, at, x->sample_uaddr[i], true, NULL);
	}
	return rc;
}

/* All that windows have left behind in the process; only of what may leak who holds it. */
static int ask_of_samples(struct confirming *j)
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

/* The first steps of a path, and what follows them; as an EVIDENCE_PATH. 0: there are none. */
static uint32_t text_of(struct session *s, const struct census *c, const struct census_path *p,
			unsigned int steps, uint32_t tail)
{
	char text[4096] = "";
	size_t len = 0;

	for (unsigned int i = 0; i < steps + (tail != 0) && len < sizeof(text) - 1; i++) {
		if (i)
			text[len++] = EVIDENCE_STEP;
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s",
					strpool_get(c->pool, i < steps ? p->step[i] : tail));
	}
	return len ? strpool_add(s->names.strings, text) : 0;
}

/*
 * Of several ways the one through the table that holds most tells of the cause: what is in use just
 * now is held by others besides.
 */
static void take_path(struct session *s, const struct census *c, const struct census_path *p,
		      struct heap_site *site)
{
	if (!p->n || (site->holder && p->entries <= site->container_entries))
		return;
	site->holder = text_of(s, c, p, p->n, 0);
	site->container_entries = p->entries;
	if (p->entries)
		site->container = text_of(s, c, p, p->container_steps, p->container_tail);
}

/* False when there were none: no heap could be walked. */
static bool take_answers(struct confirming *j, const struct census *c)
{
	struct session *s = j->s;
	size_t answered = 0, held = 0;

	confirm_reject(j->asks.v, j->of.v, j->asks.n);
	for (size_t i = 0; i < j->asks.n; i++) {
		const struct census_ask *a = &j->asks.v[i];
		struct heap_site *site = &s->heap.sites.v[j->of.v[i].site];
		struct estimate_sample *sample = j->of.v[i].sample;

		if (a->answer == CENSUS_NOT_KNOWN)
			continue;
		answered++;
		held += a->answer == CENSUS_HELD;
		if (sample) {
			estimate_confirm(sample, a->answer == CENSUS_HELD, site->kind);
			if (!sample->held)
				continue;
		}
		if (a->answer == CENSUS_HELD || !sample)
			take_path(s, c, &a->path, site);
	}
	log_debug("a census was asked for %zu objects: %zu are held, %zu gone or replaced", answered, held,
		  answered - held);
	return answered > 0;
}

static void mark_asked(struct confirming *j)
{
	vec_each(site, &j->s->heap.sites)
		if (wants_confirming(j->s, site) && is_of(j, site))
			site->confirms++;
}

/*
 * The census looks at states that resolve knows: those born since the attach must be made known to
 * it.
 */
static void resolve_new_states(struct confirming *j)
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
		i = resolve_add_state(j->t->resolved, j->t->target, &j->t->mem, st->st.main,
				      st->st.g);
		if (i >= 0)
			j->t->resolved->states.v[i].tag = st->index;
	}
}

/* Once for each process: without a census what windows saw cannot be called a leak. */
static void note_unconfirmed(struct confirming *j, const char *why)
{
	if (j->t->unconfirmed || !j->s->cost.windows || !j->t->plan)
		return;
	j->t->unconfirmed = true;
	if (plan_add_blind_spot(j->t->plan, "leaks of what was seen in windows: %s; -m exact needs no census", why))
		log_debug("out of memory");
}

static const struct census_state *answer_of(const struct confirming *j, const struct census *c,
					    uint32_t index)
{
	vec_each(cs, &c->states)
		if (cs->done && j->t->resolved->states.v[cs->index].tag == index)
			return cs;
	return NULL;
}

/*
 * Of states whose collector hardly runs: what is held takes the place of what a collection leaves.
 */
static void note_held(struct confirming *j, const struct census *c)
{
	vec_each(st, &j->s->heap.states) {
		struct gcpoll_state *poll =
			st->rare && is_open(j, st) ? gcpoll_find(&j->s->gc, st->index) : NULL;
		const struct census_state *cs = answer_of(j, c, st->index);

		if (!poll || !gc_stall_wants_census(&poll->stall))
			continue;
		gc_stall_census(&poll->stall, cs ? cs->live_bytes : 0);
		if (!cs)
			continue;
		heap_trend_held(&poll->trend, poll->stall.now.ms, cs->live_bytes);
		log_debug("state %u, whose collector hardly runs: %llu of %llu bytes are held", st->number,
			  (unsigned long long)cs->live_bytes, (unsigned long long)st->heap_bytes);
	}
}

static void take_census(struct confirming *j, bool last)
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
		note_unconfirmed(j, "there is not enough memory for a copy of its heap");
	else if (!rc && take_answers(j, &c))
		estimate_close_walk(&j->s->cost.estimate, live_tick(j->s->live));
	else if (!j->s->cost.estimate.confirmed && last)
		note_unconfirmed(j, "no copy of the heap could be made that adds up (see --pause-budget)");
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

static void confirm_target(struct session *s, struct session_target *t, const struct snapshot *snap,
			bool last)
{
	struct confirming j = { .s = s, .t = t };
	bool wanted = false;

	vec_each(site, &s->heap.sites)
		wanted |= wants_confirming(s, site) && is_of(&j, site);
	vec_each(st, &s->heap.states)
		wanted |= (s->cost.windows || st->rare) && is_open(&j, st) &&
			  estimate_wants_census(&s->gc, st->index);
	if (!wanted)
		return;
	if (!is_small(s, t)) {
		note_unconfirmed(&j, "its heaps are too large for a census in mid-trace");
		return;
	}
	if (!ask_of_samples(&j) && (s->cost.windows || !ask_of_ledger(&j, snap)) && j.asks.n)
		take_census(&j, last);
	vec_deinit(&j.asks);
	vec_deinit(&j.of);
}

/* Not while a window is open: it would be as long as the census. */
void session_confirm_look(struct session *s, const struct snapshot *snap, bool last)
{
	uint64_t before = clock_ns(CLOCK_PROCESS_CPUTIME_ID), now = clock_ns(CLOCK_MONOTONIC),
		 pause;
	uint64_t least = s->cost.budget.sparse ? CALM_PAUSE_NS : FIRST_PAUSE_NS;

	if (!last && (now < s->clock.next_confirm_ns || s->cost.budget.phase == BUDGET_WINDOW ||
		      s->cost.budget.phase == BUDGET_CALIBRATE))
		return;
	vec_each(t, &s->targets.all)
		if (!session_target_ended(t) && !t->held)
			confirm_target(s, t, snap, last);
	session_sample_judge(s);
	pause = (clock_ns(CLOCK_PROCESS_CPUTIME_ID) - before) * SHARE;
	s->clock.next_confirm_ns = clock_ns(CLOCK_MONOTONIC) + (pause > least ? pause : least);
}
