/* SPDX-License-Identifier: MIT */
/* A program that calls its allocator so often, a clock, and what the budget makes of it. */
#include "unit.h"

#include "trace/budget.h"

#define MS 1000000ull
#define TICK (20 * MS)

/* Busy for `busy` of its time without us; a call costs 2 us while probes stand. */
struct program {
	double calls_per_ms; /* of its own processor time */
	double busy;
	double own_ms, ours_ms; /* processor time used */
	struct budget_seen seen;
	bool open;
};

static void tick(struct program *p)
{
	double want_ms = 20 * p->busy, slow = p->open ? 1 + p->calls_per_ms * 0.002 : 1;
	double own = want_ms * slow > 20 ? 20 / slow : want_ms;
	double ours = own * (slow - 1);

	p->seen.now_ns += TICK;
	p->own_ms += own;
	p->ours_ms += ours;
	p->seen.cpu_ns = (uint64_t)((p->own_ms + p->ours_ms) * 1e6);
	if (p->open)
		p->seen.events += (uint64_t)(own * p->calls_per_ms);
}

static unsigned int run(struct program *p, struct budget *b, unsigned int ticks)
{
	unsigned int windows = 0;

	for (unsigned int i = 0; i < ticks; i++) {
		tick(p);
		if (budget_can_calibrate(b, &p->seen))
			b->ns_per_event = 2000;
		switch (budget_step(b, &p->seen)) {
		case BUDGET_TAKE_OFF:
			p->open = false;
			break;
		case BUDGET_PUT_ON:
			p->open = true;
			windows++;
			break;
		case BUDGET_GO_ON:
			break;
		}
	}
	return windows;
}

static struct budget start(struct program *p, bool may_stay_exact, bool only_exact)
{
	struct budget b = { .max_pct = 5,
			    .may_stay_exact = may_stay_exact,
			    .only_exact = only_exact };

	p->open = true;
	budget_start(&b, &p->seen);
	return b;
}

static void a_quiet_program_is_traced_exactly(void **state)
{
	struct program p = { .calls_per_ms = 200, .busy = 0.1 }; /* 20,000 calls a second */
	struct budget b = start(&p, true, false);

	(void)state;
	assert_int_equal(run(&p, &b, 500), 0);
	assert_int_equal(b.phase, BUDGET_EXACT);
	assert_true(budget_seen_pct(&b, &p.seen) == 100);
	assert_true(budget_cpu_pct(&b, &p.seen) > 3.5 && budget_cpu_pct(&b, &p.seen) < 4.5);
}

static void a_storm_is_seen_in_windows_that_fit_the_budget(void **state)
{
	static const double rates[] = { 60, 500, 4000, 40000 };

	(void)state;
	for (unsigned int i = 0; i < N_OF(rates); i++) {
		struct program p = { .calls_per_ms = rates[i], .busy = 1 };
		struct budget b = start(&p, true, false);

		assert_true(run(&p, &b, 3000) > 10);
		assert_true(p.ours_ms / p.own_ms < 0.055);
		assert_true(budget_seen_pct(&b, &p.seen) < 50);
		assert_true(b.full_pct > 5);
	}
}

/* 6,000 calls in the first tenth of a second, then nothing: below 5 % of any second. */
static void a_burst_at_the_start_does_not_end_exact(void **state)
{
	struct program p = { .calls_per_ms = 60, .busy = 1 };
	struct budget b = start(&p, true, false);

	(void)state;
	run(&p, &b, 5);
	p.busy = 0;
	assert_int_equal(run(&p, &b, 200), 0);
	assert_int_equal(b.phase, BUDGET_EXACT);
}

static void a_program_that_becomes_busy_leaves_exact(void **state)
{
	struct program p = { .calls_per_ms = 200, .busy = 0.05 };
	struct budget b = start(&p, true, false);

	(void)state;
	run(&p, &b, 100);
	assert_int_equal(b.phase, BUDGET_EXACT);
	p.busy = 1;
	run(&p, &b, 400);
	assert_int_not_equal(b.phase, BUDGET_EXACT);
}

static void exact_stays_exact_whatever_it_costs(void **state)
{
	struct program p = { .calls_per_ms = 40000, .busy = 1 };
	struct budget b = start(&p, false, true);

	(void)state;
	assert_int_equal(run(&p, &b, 1000), 0);
	assert_true(p.open);
	assert_true(budget_seen_pct(&b, &p.seen) == 100);
}

static void watch_never_stays_on(void **state)
{
	struct program p = { .calls_per_ms = 1, .busy = 0.1 };
	struct budget b = start(&p, false, false);

	(void)state;
	run(&p, &b, 11);
	assert_int_equal(b.phase, BUDGET_PAUSE);
	assert_true(run(&p, &b, 1000) > 10);
}

/* What windows cost from now on, in percent of the program's own time. */
static double cost_of(struct program *p, struct budget *b, unsigned int ticks)
{
	double own = p->own_ms, ours = p->ours_ms;

	run(p, b, ticks);
	return 100 * (p->ours_ms - ours) / (p->own_ms - own);
}

static void while_no_heap_rises_windows_are_rare(void **state)
{
	static const double rates[] = { 500, 4000 };

	(void)state;
	for (unsigned int i = 0; i < N_OF(rates); i++) {
		struct program p = { .calls_per_ms = rates[i],
				     .busy = 1,
				     .seen.heaps = BUDGET_HEAPS_CALM };
		struct budget b = start(&p, false, false);

		run(&p, &b, 1500); /* 30 s, which begin with as many as the budget allows */
		assert_true(b.sparse && b.windows >= 8);
		assert_true(cost_of(&p, &b, 30000) < 0.3);
		assert_true(b.windows > 12);
	}
}

static void a_heap_that_rises_is_worth_the_budget(void **state)
{
	struct program p = { .calls_per_ms = 500, .busy = 1, .seen.heaps = BUDGET_HEAPS_CALM };
	struct budget b = start(&p, false, false);
	double dense, first;

	(void)state;
	run(&p, &b, 30000);
	assert_true(b.sparse);
	p.seen.heaps = BUDGET_HEAPS_RISE;
	first = cost_of(&p, &b, 250); /* what was saved before is not spent now */
	dense = cost_of(&p, &b, 3000);
	assert_false(b.sparse);
	assert_true(first < 6 && dense > 2 && dense < 5.5);
	p.seen.heaps = BUDGET_HEAPS_CALM;
	assert_true(cost_of(&p, &b, 30000) < 0.3);
}

/* A big heap takes its time to complete a cycle. */
static void what_is_not_known_gets_half_a_minute(void **state)
{
	struct program p = { .calls_per_ms = 500, .busy = 1 };
	struct budget b = start(&p, false, false);

	(void)state;
	run(&p, &b, 1400);
	assert_false(b.sparse);
	run(&p, &b, 300);
	assert_true(b.sparse);
}

static void rare_windows_never_cost_more_than_is_allowed(void **state)
{
	struct program p = { .calls_per_ms = 4000, .busy = 1, .seen.heaps = BUDGET_HEAPS_CALM };
	struct budget b = start(&p, false, false);

	(void)state;
	b.max_pct = 0.05;
	run(&p, &b, 100000);
	assert_true(100 * p.ours_ms / p.own_ms < 0.06);
}

static void a_window_may_be_asked_for_once_a_second(void **state)
{
	struct program p = { .calls_per_ms = 4000, .busy = 1, .seen.heaps = BUDGET_HEAPS_CALM };
	struct budget b = start(&p, false, false);
	unsigned int asked = 0;

	(void)state;
	assert_int_equal(budget_ask_window(&b, &p.seen), BUDGET_GO_ON); /* what is seen is seen */
	run(&p, &b, 1500);
	while (b.phase != BUDGET_PAUSE)
		run(&p, &b, 1);
	for (unsigned int i = 0; i < 250; i++) {
		if (budget_ask_window(&b, &p.seen) == BUDGET_PUT_ON) {
			assert_int_equal(b.phase, BUDGET_WINDOW);
			p.open = true;
			asked++;
		}
		run(&p, &b, 1);
	}
	assert_in_range(asked, 3, 6); /* in 5 s */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_quiet_program_is_traced_exactly),
		cmocka_unit_test(a_storm_is_seen_in_windows_that_fit_the_budget),
		cmocka_unit_test(a_burst_at_the_start_does_not_end_exact),
		cmocka_unit_test(a_program_that_becomes_busy_leaves_exact),
		cmocka_unit_test(exact_stays_exact_whatever_it_costs),
		cmocka_unit_test(watch_never_stays_on),
		cmocka_unit_test(while_no_heap_rises_windows_are_rare),
		cmocka_unit_test(a_heap_that_rises_is_worth_the_budget),
		cmocka_unit_test(what_is_not_known_gets_half_a_minute),
		cmocka_unit_test(rare_windows_never_cost_more_than_is_allowed),
		cmocka_unit_test(a_window_may_be_asked_for_once_a_second),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
