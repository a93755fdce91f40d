/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "collect/gc_stall.h"

#define MIB (1ull << 20)

/*
 * Polls every 20 ms; the heap grows by so much each, a cycle is completed every cycle_ms (0:
 * never).
 */
static uint64_t run(struct gc_stall *s, uint64_t from_ms, uint64_t ms, uint64_t *heap,
		    uint64_t grows, uint64_t cycle_ms, bool stopped)
{
	uint64_t t;

	for (t = from_ms; t < from_ms + ms; t += 20) {
		*heap += grows;
		gc_stall_note(s, t, *heap, cycle_ms && t % cycle_ms == 0, stopped);
	}
	return t;
}

static void a_collector_that_runs_is_not_rare(void **state)
{
	struct gc_stall s = { 0 };
	struct gc_stall_rate still;
	uint64_t heap = MIB, t;

	(void)state;
	t = run(&s, 0, 60000, &heap, 10000, 1000, false);
	assert_false(s.rare);
	assert_false(gc_stall_rate(&s, &still));
	/* …nor one that does nothing for a minute, since its program does nothing. */
	run(&s, t, 60000, &heap, 0, 0, false);
	assert_false(s.rare);
	assert_false(gc_stall_rate(&s, &still));
	assert_int_equal(s.turns, 0);
}

static void a_stopped_one_is_told_at_once_with_the_growth(void **state)
{
	struct gc_stall s = { 0 };
	struct gc_stall_rate still;
	uint64_t heap = MIB, t;

	(void)state;
	t = run(&s, 0, 1000, &heap, 20000, 0, true); /* a finalizer may take as long */
	assert_false(gc_stall_rate(&s, &still));
	t = run(&s, t, 4000, &heap, 20000, 0, true);
	assert_true(gc_stall_rate(&s, &still));
	assert_true(still.stopped);
	assert_in_range((uint64_t)still.bytes_per_s, 990000, 1010000);
	/* It is started again, and collects. */
	heap = MIB;
	run(&s, t, 3000, &heap, 0, 500, false);
	assert_false(gc_stall_rate(&s, &still));
}

static void a_rare_one_gets_censuses_and_turns(void **state)
{
	struct gc_stall s = { 0 };
	struct gc_stall_rate still;
	uint64_t heap = MIB, t;

	(void)state;
	t = run(&s, 0, 4000, &heap, 20000, 0, false);
	assert_false(gc_stall_wants_census(&s));
	t = run(&s, t, 7000, &heap, 20000, 0, false);
	assert_true(s.rare && gc_stall_wants_census(&s));
	assert_true(gc_stall_rate(&s, &still) && !still.stopped);
	gc_stall_census(&s, MIB);
	assert_false(gc_stall_wants_census(&s));
	t = run(&s, t, 20000, &heap, 20000, 0, false);
	assert_in_range(s.turns, 4, 6);
	gc_stall_census(&s, 2 * MIB);
	assert_in_range((uint64_t)(gc_stall_growth(&s) * 100), 199, 201);
	/* Cycles that follow each other again tell by themselves. */
	t = run(&s, t, 20000, &heap, 1000, 2000, false);
	assert_false(s.rare);
	assert_false(gc_stall_wants_census(&s));
}

/* Each stops the target for a moment: where nothing more is held they become rare themselves. */
static void censuses_that_find_no_growth_become_rare(void **state)
{
	struct gc_stall s = { 0 };
	uint64_t heap = MIB, t = 0, n = 0;

	(void)state;
	while (t < 600000) {
		t = run(&s, t, 1000, &heap, 20000, 0, false);
		if (!gc_stall_wants_census(&s))
			continue;
		gc_stall_census(&s, MIB);
		n++;
	}
	assert_in_range(n, 4, 10);
}

/*
 * A program that collects by hand may complete two cycles between two polls, which look like none.
 */
static void a_heap_that_falls_was_collected(void **state)
{
	struct gc_stall s = { 0 };
	struct gc_stall_rate still;
	uint64_t heap, t = 0;

	(void)state;
	for (int i = 0; i < 20; i++) {
		heap = MIB;
		t = run(&s, t, 5000, &heap, 20000, 0, false);
	}
	assert_false(s.rare);
	assert_false(gc_stall_rate(&s, &still));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_collector_that_runs_is_not_rare),
		cmocka_unit_test(a_stopped_one_is_told_at_once_with_the_growth),
		cmocka_unit_test(a_rare_one_gets_censuses_and_turns),
		cmocka_unit_test(censuses_that_find_no_growth_become_rare),
		cmocka_unit_test(a_heap_that_falls_was_collected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
