/* SPDX-License-Identifier: MIT */
/* Distributions of what is left over the stretches of a trace, and what is to be said of each. */
#include "unit.h"

#include "heap/verdict.h"

static const struct age_window plain = {
	.known = true, .swept = true, .cycles = 8, .certified = COHORTS, .work = 100000,
	.share = 0.8, .settled = true, .edge_ms = { [COHORTS] = 8000 },
};

static enum verdict judge_in(const struct age_window *w, const unsigned int blocks[COHORTS],
			     const struct trend *t, uint64_t allocs)
{
	struct trend none = { .n = 0 };
	struct cohorts c = { .blocks = { 0 } };
	double growth;
	enum verdict v;

	for (unsigned int i = 0; i < COHORTS; i++) {
		c.blocks[i] = blocks[i];
		c.bytes[i] = blocks[i] * 56;
	}
	v = verdict_of(&c, w, allocs, t ? t : &none, &growth);
	assert_true(v >= VERDICT_GROWING || growth <= 0);
	return v;
}

static enum verdict judge(const unsigned int blocks[COHORTS])
{
	return judge_in(&plain, blocks, NULL, 10000);
}

#define LEFT(...) ((const unsigned int[COHORTS]){ __VA_ARGS__ })
#define EVEN LEFT(50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50)

static void as_much_left_of_each_stretch_is_a_leak(void **state)
{
	(void)state;
	assert_int_equal(judge(EVEN), VERDICT_LEAK);
	assert_int_equal(judge(LEFT(55, 48, 52, 46, 50, 51, 44, 58, 47, 50, 49, 52)), VERDICT_LEAK);
	assert_int_equal(judge(LEFT(4, 2, 3, 3, 1, 4, 2, 5, 2, 3, 4, 2)), VERDICT_LEAK);
}

static void bursts_that_go_on_are_a_leak(void **state)
{
	(void)state;
	assert_int_equal(judge(LEFT(90, 0, 0, 90, 0, 0, 90, 0, 0, 90, 0, 0)), VERDICT_LEAK);
	assert_int_equal(judge(LEFT(90, 10, 0, 80, 20, 0, 90, 10, 0, 95, 5, 0)), VERDICT_LEAK);
	/* three may be chance */
	assert_int_not_equal(judge(LEFT(90, 0, 0, 0, 90, 0, 0, 0, 90, 0, 0, 0)), VERDICT_LEAK);
}

static void what_has_filled_is_stable(void **state)
{
	(void)state;
	assert_int_equal(judge(LEFT(200, 200, 200, 150, 0, 0, 0, 0, 0, 0, 0, 0)), VERDICT_STABLE);
	assert_int_equal(judge(LEFT(0, 0, 0, 0, 300, 300, 0, 0, 0, 0, 0, 0)), VERDICT_STABLE);
	/* random keys: ever fewer are new */
	assert_int_equal(judge(LEFT(500, 400, 320, 256, 205, 164, 131, 105, 84, 67, 54, 43)),
			 VERDICT_STABLE);
	assert_int_not_equal(judge(LEFT(500, 460, 423, 389, 358, 330, 303, 279, 257, 236, 217,
					200)),
			     VERDICT_LEAK);
}

static void what_turns_over_is_stable(void **state)
{
	(void)state;
	assert_int_equal(judge(LEFT(0, 0, 0, 0, 0, 0, 100, 100, 100, 100, 100, 100)),
			 VERDICT_STABLE);
	assert_int_equal(judge(LEFT(5, 8, 12, 20, 30, 48, 75, 118, 185, 290, 450, 700)),
			 VERDICT_STABLE);
	assert_int_equal(judge(LEFT(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 500)), VERDICT_STABLE);
}

static void a_heap_that_loses_as_much_as_it_keeps_has_no_leak(void **state)
{
	struct age_window w = plain;

	(void)state;
	w.turnover = w.late_turnover = 0.005; /* 500 old blocks went while 600 new ones stayed */
	assert_int_equal(judge_in(&w, EVEN, NULL, 10000), VERDICT_GROWING);
	w.late_turnover = 0.0005; /* at first only: of what these do not belong to… */
	assert_int_equal(judge_in(&w, EVEN, NULL, 10000), VERDICT_LEAK);
	/* …unless they begin when those went: a pile that is emptied now and then */
	assert_int_equal(judge_in(&w, LEFT(10, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50), NULL,
				  10000),
			 VERDICT_GROWING);
	w.turnover = 0.0005;
	assert_int_equal(judge_in(&w, EVEN, NULL, 10000), VERDICT_LEAK);
	w.settled = false;
	assert_int_equal(judge_in(&w, EVEN, NULL, 10000), VERDICT_GROWING);
}

static void few_cycles_or_blocks_are_no_proof(void **state)
{
	struct age_window w = plain;

	(void)state;
	w.cycles = 2;
	assert_int_equal(judge_in(&w, EVEN, NULL, 10000), VERDICT_GROWING);
	w.known = false;
	assert_int_equal(judge_in(&w, EVEN, NULL, 10000), VERDICT_YOUNG);
	assert_int_equal(judge(LEFT(0)), VERDICT_YOUNG);
	assert_int_equal(judge(LEFT(1, 0, 1, 0, 1)), VERDICT_STABLE);
	assert_int_equal(judge(LEFT(2, 2, 2, 1, 2, 2, 2, 2, 1, 2, 1, 2)), VERDICT_LEAK);
	assert_int_equal(judge(LEFT(1, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 1) /* few bytes too */),
			 VERDICT_STABLE);
}

static void a_generational_collector_needs_full_collections(void **state)
{
	struct age_window w = plain;

	(void)state;
	w.generational = true;
	w.cycles = 1;
	w.certified = 2;
	/* nearly all that was born is there: it grows, for all that is known */
	assert_int_equal(judge_in(&w, EVEN, NULL, 800), VERDICT_GROWING);
	/* the few that are there may be dead */
	assert_int_equal(judge_in(&w, EVEN, NULL, 100000), VERDICT_YOUNG);
	w.cycles = 2;
	w.certified = 6;
	assert_int_equal(judge_in(&w, EVEN, NULL, 100000), VERDICT_LEAK);
	/* a full collection took what was old: a ring */
	assert_int_equal(judge_in(&w, LEFT(1, 1, 0, 1, 0, 9, 90, 90, 90, 90, 90, 90), NULL, 1000),
			 VERDICT_STABLE);
}

static void one_block_that_keeps_growing_is_growing(void **state)
{
	struct trend up = { .n = 0 }, flat = { .n = 0 };
	struct cohorts c = { .blocks = { 1 }, .bytes = { 131072 } };
	double growth;

	(void)state;
	for (uint32_t i = 0; i < 12; i++) {
		trend_add(&up, i * 1000000000ull, 4096u << i / 2, i);
		trend_add(&flat, i * 1000000000ull, 4096u << (i < 4 ? i : 4), i);
	}
	assert_int_equal(verdict_of(&c, &plain, 1, &up, &growth), VERDICT_GROWING);
	assert_true(growth > 1000);
	assert_int_equal(verdict_of(&c, &plain, 1, &flat, &growth), VERDICT_STABLE);
}

static void a_trend_stays_bounded(void **state)
{
	struct trend t = { .n = 0 };

	(void)state;
	for (uint32_t i = 0; i < 10000; i++)
		trend_add(&t, i, i, i / 2);
	assert_true(t.n <= TREND_POINTS);
	assert_int_equal(t.p[t.n - 1].old_bytes, 9999);
}

static void every_verdict_has_its_name(void **state)
{
	(void)state;
	assert_string_equal(verdict_name(VERDICT_YOUNG), "young");
	assert_string_equal(verdict_name(VERDICT_STABLE), "stable");
	assert_string_equal(verdict_name(VERDICT_GROWING), "growing");
	assert_string_equal(verdict_name(VERDICT_LEAK), "leak");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_much_left_of_each_stretch_is_a_leak),
		cmocka_unit_test(bursts_that_go_on_are_a_leak),
		cmocka_unit_test(what_has_filled_is_stable),
		cmocka_unit_test(what_turns_over_is_stable),
		cmocka_unit_test(a_heap_that_loses_as_much_as_it_keeps_has_no_leak),
		cmocka_unit_test(few_cycles_or_blocks_are_no_proof),
		cmocka_unit_test(a_generational_collector_needs_full_collections),
		cmocka_unit_test(one_block_that_keeps_growing_is_growing),
		cmocka_unit_test(a_trend_stays_bounded),
		cmocka_unit_test(every_verdict_has_its_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
