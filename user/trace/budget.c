/* SPDX-License-Identifier: MIT */
#include "budget.h"

#define MS 1000000ull
#define CALIBRATE_NS (200 * MS)
#define CALIBRATE_EVENTS 20000 /* enough at once: a storm is not to be slowed down for longer */
#define PRICE_EVENTS 5000 /* where only the price of a call is asked for */
#define LONG_CALIBRATE_NS (1000 * MS) /* a burst of fewer does not tell what a second costs */
#define WINDOW_NS (20 * MS)
#define LONG_WINDOW_NS (100 * MS) /* at most, while it costs little */
#define PAUSE_NS (200 * MS) /* at least: placing probes costs too */
#define ASKED_NS (1000 * MS) /* between windows out of turn */
#define CHECK_NS (1000 * MS)
#define OVER_TIMES 3        /* checks above the budget before exact is given up */
#define MARGIN 0.8          /* of the budget, for what is not measured */
#define GO_ON_PART 0.625    /* of what is allowed, up to which a window goes on */
#define START_WINDOWS 8     /* that all are to have, */
#define START_NS (5000 * MS)
#define UNKNOWN_NS (30000 * MS) /* …and while it is not known whether heaps rise, for so long */
#define SPARSE_PART 25      /* while nothing rises: this part of the budget, */
#define SPARSE_MIN_PCT 0.1  /* …or so much of it */

static double cost(const struct budget *b, uint64_t events)
{
	return (double)events * b->ns_per_event;
}

static bool is_open(const struct budget *b)
{
	return b->phase != BUDGET_PAUSE;
}

/* In percent of what the time would have been without us. */
static double pct_of(double cost_ns, uint64_t wall_ns, uint64_t cpu_ns)
{
	double base = (double)(cpu_ns > wall_ns ? cpu_ns : wall_ns) - cost_ns;

	if (base < (double)wall_ns / 100)
		/* nearly all of it was ours: how nearly is not known */
		base = (double)wall_ns / 100;
	return 100 * cost_ns / base;
}

/* Wall time without that in which others had the processors. */
static uint64_t wall(const struct budget_seen *from, const struct budget_seen *to)
{
	uint64_t ns = to->now_ns - from->now_ns, waited = to->wait_ns - from->wait_ns;

	return waited < ns ? ns - waited : ns / 100;
}

static double phase_pct(const struct budget *b, const struct budget_seen *seen)
{
	return pct_of(cost(b, seen->events - b->at.events), wall(&b->at, seen),
		      seen->cpu_ns - b->at.cpu_ns);
}

bool budget_can_calibrate(const struct budget *b, const struct budget_seen *seen)
{
	bool choose = b->may_stay_exact && !b->only_exact;

	return b->phase == BUDGET_CALIBRATE &&
	       (seen->now_ns - b->at.now_ns >= CALIBRATE_NS ||
		seen->events - b->at.events >= (choose ? CALIBRATE_EVENTS : PRICE_EVENTS));
}

void budget_start(struct budget *b, const struct budget_seen *seen)
{
	b->phase = BUDGET_CALIBRATE;
	b->start = b->at = b->since = *seen;
}

static void begin(struct budget *b, enum budget_phase phase, const struct budget_seen *seen)
{
	uint64_t cpu = seen->cpu_ns - b->at.cpu_ns, events = seen->events - b->at.events;

	if (is_open(b)) {
		double own = (double)cpu - cost(b, events);

		b->window_cost_ns = cost(b, events);
		b->spent_ns += b->window_cost_ns;
		if (own < (double)cpu / 100)
			own = (double)cpu / 100; /* nearly all of it was ours */
		b->calls_per_ns = own > 0 ? (double)events / own : 0;
	} else {
		b->unseen += b->calls_per_ns * (double)cpu;
	}
	if (phase == BUDGET_PAUSE && (b->phase == BUDGET_CALIBRATE || b->phase == BUDGET_EXACT))
		b->windows_ns = seen->now_ns;
	b->windows += phase == BUDGET_WINDOW;
	b->phase = phase;
	b->at = *seen;
}

static enum budget_action after_calibration(struct budget *b, const struct budget_seen *seen)
{
	b->full_pct = phase_pct(b, seen);
	if (b->only_exact || (b->may_stay_exact && b->full_pct <= b->max_pct)) {
		begin(b, BUDGET_EXACT, seen);
		return BUDGET_GO_ON;
	}
	if (b->may_stay_exact && seen->events - b->at.events < CALIBRATE_EVENTS &&
	    seen->now_ns - b->at.now_ns < LONG_CALIBRATE_NS)
		return BUDGET_GO_ON;
	begin(b, BUDGET_PAUSE, seen);
	return BUDGET_TAKE_OFF;
}

static enum budget_action check_exact(struct budget *b, const struct budget_seen *seen)
{
	b->full_pct = phase_pct(b, seen);
	b->over = b->full_pct > b->max_pct ? b->over + 1 : 0;
	if (b->over >= OVER_TIMES && !b->only_exact) {
		begin(b, BUDGET_PAUSE, seen);
		return BUDGET_TAKE_OFF;
	}
	begin(b, BUDGET_EXACT, seen);
	return BUDGET_GO_ON;
}

/* What windows may cost now. */
static double allowed_pct(const struct budget *b)
{
	double most = b->max_pct * MARGIN, sparse = b->max_pct / SPARSE_PART;

	if (!b->sparse)
		return most;
	sparse = sparse > SPARSE_MIN_PCT ? sparse : SPARSE_MIN_PCT;
	return sparse < most ? sparse : most;
}

static bool may_be_sparse(const struct budget *b, const struct budget_seen *seen)
{
	uint64_t ns = seen->now_ns - b->windows_ns;

	if (seen->heaps == BUDGET_HEAPS_RISE || b->windows < START_WINDOWS || ns < START_NS)
		return false;
	return seen->heaps == BUDGET_HEAPS_CALM || ns >= UNKNOWN_NS;
}

/* Each has its own account: what a calm hour has saved is not to be spent at once. */
static void choose_density(struct budget *b, const struct budget_seen *seen)
{
	if (may_be_sparse(b, seen) == b->sparse)
		return;
	b->sparse = !b->sparse;
	b->since = *seen;
	b->since_spent_ns = b->spent_ns;
}

/* A window goes on while it leaves room for the next ones. */
static bool may_go_on(const struct budget *b, const struct budget_seen *seen)
{
	double would = b->spent_ns - b->since_spent_ns + cost(b, seen->events - b->at.events);

	return seen->now_ns - b->at.now_ns < LONG_WINDOW_NS &&
	       pct_of(would, wall(&b->since, seen), seen->cpu_ns - b->since.cpu_ns) <=
	       allowed_pct(b) * GO_ON_PART;
}

/* Would another window like the last one fit what is allowed up to its end? */
static bool fits(const struct budget *b, const struct budget_seen *seen)
{
	double would = b->spent_ns - b->since_spent_ns + b->window_cost_ns;

	return pct_of(would, wall(&b->since, seen) + WINDOW_NS, seen->cpu_ns - b->since.cpu_ns) <=
	       allowed_pct(b);
}

enum budget_action budget_step(struct budget *b, const struct budget_seen *seen)
{
	uint64_t in_phase = seen->now_ns - b->at.now_ns;

	switch (b->phase) {
	case BUDGET_CALIBRATE:
		return b->ns_per_event <= 0 ? BUDGET_GO_ON : after_calibration(b, seen);
	case BUDGET_EXACT:
		return in_phase < CHECK_NS ? BUDGET_GO_ON : check_exact(b, seen);
	case BUDGET_WINDOW:
		if (in_phase < WINDOW_NS || may_go_on(b, seen))
			return BUDGET_GO_ON;
		begin(b, BUDGET_PAUSE, seen);
		return BUDGET_TAKE_OFF;
	case BUDGET_PAUSE:
		choose_density(b, seen);
		if (in_phase < PAUSE_NS || !fits(b, seen))
			return BUDGET_GO_ON;
		begin(b, BUDGET_WINDOW, seen);
		return BUDGET_PUT_ON;
	}
	return BUDGET_GO_ON;
}

bool budget_may_ask(const struct budget *b, uint64_t now_ns)
{
	return b->phase == BUDGET_PAUSE && (!b->asked_ns || now_ns - b->asked_ns >= ASKED_NS);
}

enum budget_action budget_ask_window(struct budget *b, const struct budget_seen *seen)
{
	if (!budget_may_ask(b, seen->now_ns))
		return BUDGET_GO_ON;
	b->asked_ns = seen->now_ns;
	begin(b, BUDGET_WINDOW, seen);
	return BUDGET_PUT_ON;
}

double budget_seen_pct(const struct budget *b, const struct budget_seen *seen)
{
	double unseen = b->unseen, events = (double)(seen->events - b->start.events);

	if (!is_open(b))
		unseen += b->calls_per_ns * (double)(seen->cpu_ns - b->at.cpu_ns);
	return unseen > 0 ? 100 * events / (events + unseen) : 100;
}

double budget_cpu_pct(const struct budget *b, const struct budget_seen *seen)
{
	uint64_t ns = seen->now_ns - b->start.now_ns;
	double ours = b->spent_ns + (is_open(b) ? cost(b, seen->events - b->at.events) : 0);

	return ns ? 100 * ours / (double)ns : 0;
}
