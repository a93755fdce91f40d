/* SPDX-License-Identifier: MIT */
/* What the trace costs: measured, kept below --max-overhead, reported. */
#include "session_budget.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "session_find.h"
#include "session_sample.h"

#define RUNS_ENOUGH 200          /* of the programs, to tell what one costs */
#define RUNS_A_CALL 1.5          /* two of one that allocates, one of one that frees */
#define LAZY_TICKS 10
#define RARE_LOOK_NS 150e6 /* between looks at probes that may not be rarely hit */
#define RARE_SHARE 0.2     /* of the budget, for each sort of them */
#define USUAL_RUN_NS 300.0
#define USUAL_TRAP_NS 1000.0

/* Entries are given back when their state is gone; the sum must not fall with them. */
static uint64_t rising(uint64_t now, uint64_t *last, uint64_t *lost)
{
	if (now < *last)
		*lost += *last - now;
	*last = now;
	return now + *lost;
}

static uint64_t events_now(struct session *s)
{
	const struct lmt_state *table;
	uint64_t sum = 0;
	uint32_t n;

	table = live_states(s->live, &n);
	for (uint32_t i = 1; i < n; i++)
		sum += table[i].allocs + table[i].frees + table[i].reallocs + table[i].failures;
	return rising(sum, &s->cost.last_events, &s->cost.lost_events);
}

static uint64_t cpu_now(struct session *s)
{
	uint64_t sum = 0;

	vec_each(t, &s->targets.all) {
		struct timespec ts;
		clockid_t clock;

		if (session_target_ended(t) || clock_getcpuclockid(t->target->pid, &clock) ||
		    clock_gettime(clock, &ts))
			continue;
		sum += (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	}
	return rising(sum, &s->cost.last_cpu, &s->cost.lost_cpu);
}

/* Of the main threads; a thread that is ready but does not run looks idle else. */
static uint64_t waited_now(struct session *s)
{
	uint64_t sum = 0;

	vec_each(t, &s->targets.all)
		if (!session_target_ended(t))
			sum += proc_wait_ns(t->target->pid);
	return rising(sum, &s->cost.last_wait, &s->cost.lost_wait);
}

/* By polls and censuses. */
static enum budget_heaps heaps_now(const struct session *s)
{
	enum budget_heaps heaps = BUDGET_HEAPS_CALM;

	vec_each(p, &s->gc.states) {
		if (p->gone)
			continue;
		if (p->trend.rising || (p->stall.rare && !heap_trend_known(&p->trend)))
			return BUDGET_HEAPS_RISE;
		if (!heap_trend_known(&p->trend))
			heaps = BUDGET_HEAPS_UNKNOWN;
	}
	return heaps;
}

static struct budget_seen look_now(struct session *s)
{
	return (struct budget_seen){
		.now_ns = clock_ns(CLOCK_MONOTONIC),
		.cpu_ns = cpu_now(s),
		.wait_ns = waited_now(s),
		.events = events_now(s),
		.heaps = heaps_now(s),
	};
}

void session_budget_start(struct session *s)
{
	struct budget_seen seen = look_now(s);
	struct budget *b = &s->cost.budget;

	*b = (struct budget){
		.max_pct = s->cfg.max_overhead_pct,
		.may_stay_exact = s->cfg.mode == MODE_AUTO,
		.only_exact = s->cfg.mode == MODE_EXACT ||
			      (s->cfg.mode == MODE_AUTO && session_wants_c_heap(s)),
	};
	budget_start(b, &seen);
	attach_measure(s->attach, true);
	attach_alloc_runs(s->attach, &s->cost.runs, &s->cost.run_ns);
}

/*
 * What one call costs: the trap, as measured on our own code, for each run of a program, and the
 * programs' own time, as they measure it themselves.
 */
static void calibrate(struct session *s, const struct budget_seen *seen)
{
	double trap = s->features.emulated_ns > 0 ? s->features.emulated_ns : USUAL_TRAP_NS;
	uint64_t events = seen->events - s->cost.budget.start.events, runs, ns;

	attach_alloc_runs(s->attach, &runs, &ns);
	runs -= s->cost.runs;
	ns -= s->cost.run_ns;
	if (runs >= RUNS_ENOUGH && events)
		s->cost.budget.ns_per_event = ((double)runs * trap + (double)ns) / (double)events;
	else
		s->cost.budget.ns_per_event = RUNS_A_CALL * (trap + USUAL_RUN_NS);
}

static void end_calibration(struct session *s)
{
	const struct budget *b = &s->cost.budget;

	attach_measure(s->attach, false);
	log_debug("a call costs %.0f ns, all of them %.1f %%", b->ns_per_event, b->full_pct);
}

void session_budget_seen(struct session *s, double *pct_ret, double *seconds_ret)
{
	struct budget_seen seen = look_now(s);

	*pct_ret = budget_seen_pct(&s->cost.budget, &seen);
	*seconds_ret = (double)(seen.now_ns - s->cost.budget.start.now_ns) / 1e9;
}

static int go_to_windows(struct session *s)
{
	const struct budget *b = &s->cost.budget;
	int rc;

	if (!s->cost.windows)
		log_info("exact tracing would cost about %.0f %% here, --max-overhead allows %.3g %%: "
			 "from now on in windows only", b->full_pct, b->max_pct);
	s->cost.windows = s->gc.always = true;
	attach_pause(s->attach);
	/* each takes the kernel some 50 ms: after what costs most */
	if (!s->cost.rare[PLAN_FFI].off)
		attach_drop(s->attach, PLAN_FFI);
	s->cost.rare[PLAN_FFI].off = true;
	rc = session_sample_window(s);
	live_empty(s->live);
	return rc;
}

/*
 * PUC Lua yields by luaD_throw(), where memory errors are noticed, and a copy of Lua that had no
 * state may make one: a program that does so all the time would pay more for that than for the
 * windows. Exact sees the same at the allocator. What C is given through the FFI is held against a
 * whole ledger: windows have none.
 */
static const struct {
	enum plan_program program;
	double run_ns; /* of the program: usually next to nothing */
	const char *what, *when, *why;
} not_always_rare[] = {
	{ PLAN_THROW, 0, "memory errors of PUC Lua", ", between windows", "it yields or throws" },
	{ PLAN_FOREIGN, 0, "another copy of Lua at work on a state", ", between windows",
	  "a copy without a state has made one and allocates" },
	{ PLAN_FFI, 1000, "memory that C uses after it was freed (-m exact sees it)", "",
	  "C functions are called, through the FFI or of those that are watched," },
};

static void drop_rare(struct session *s, size_t i, double per_s)
{
	log_info("not seen from now on: %s%s: %s %.0f times a second", not_always_rare[i].what,
		 not_always_rare[i].when, not_always_rare[i].why, per_s);
	attach_drop(s->attach, not_always_rare[i].program);
	s->cost.rare[not_always_rare[i].program].off = true;
	vec_each(t, &s->targets.all)
		if (t->plan && plan_add_blind_spot(t->plan, "%s%s: %s too often for a probe there",
						   not_always_rare[i].what, not_always_rare[i].when,
						   not_always_rare[i].why))
			log_debug("out of memory");
}

static void check_rare(struct session *s, const struct budget_seen *seen, size_t i)
{
	struct session_rare *r = &s->cost.rare[not_always_rare[i].program];
	uint64_t hits = attach_hits(s->attach, not_always_rare[i].program);
	double n = (double)(hits - r->hits), wall = (double)(seen->now_ns - r->at_ns);
	double trap = s->features.emulated_ns > 0 ? s->features.emulated_ns : USUAL_TRAP_NS;
	double ns = n * (trap + not_always_rare[i].run_ns);

	if (r->off || s->cost.budget.only_exact || wall < RARE_LOOK_NS)
		return;
	if (r->at_ns && ns > wall * s->cfg.max_overhead_pct / 100 * RARE_SHARE)
		drop_rare(s, i, n / wall * 1e9);
	r->hits = hits;
	r->at_ns = seen->now_ns;
}

int session_budget_step(struct session *s)
{
	enum budget_phase before = s->cost.budget.phase;
	bool urgent = before == BUDGET_CALIBRATE || before == BUDGET_WINDOW;
	struct budget_seen seen;
	enum budget_action what;
	bool sparse;

	if (!urgent && ++s->cost.ticks % LAZY_TICKS)
		return 0; /* asking every process takes time too */
	seen = look_now(s);
	for (size_t i = 0; i < sizeof(not_always_rare) / sizeof(not_always_rare[0]); i++)
		check_rare(s, &seen, i);
	if (budget_can_calibrate(&s->cost.budget, &seen))
		calibrate(s, &seen);
	sparse = s->cost.budget.sparse;
	what = budget_step(&s->cost.budget, &seen);
	if (s->cost.budget.sparse != sparse) {
		if (sparse)
			s->clock.next_confirm_ns = 0; /* as soon as there are windows to ask of */
		log_debug(sparse ? "a heap rises: windows as dense as the budget allows"
				 : "no heap rises: windows are rare from now on");
	}
	if (before == BUDGET_CALIBRATE && s->cost.budget.phase != before)
		end_calibration(s);
	if (what == BUDGET_TAKE_OFF)
		return go_to_windows(s);
	return what == BUDGET_PUT_ON ? attach_resume(s->attach) : 0;
}

int session_budget_window(struct session *s)
{
	struct budget_seen seen;

	if (!budget_may_ask(&s->cost.budget, clock_ns(CLOCK_MONOTONIC)))
		return 0; /* asking every process takes time */
	seen = look_now(s);
	return budget_ask_window(&s->cost.budget, &seen) == BUDGET_PUT_ON ? attach_resume(s->attach)
									  : 0;
}

void session_budget_report(struct session *s, struct report *r)
{
	struct budget_seen seen = look_now(s);

	r->ns_per_event = s->cost.budget.ns_per_event;
	r->cpu_pct = budget_cpu_pct(&s->cost.budget, &seen);
	r->mode = s->cost.windows ? "watch" : "exact";
	r->windows = s->cost.windows;
	r->seen_pct = budget_seen_pct(&s->cost.budget, &seen);
	r->full_pct = s->cost.budget.full_pct;
}
