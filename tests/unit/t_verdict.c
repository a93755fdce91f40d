/* SPDX-License-Identifier: MIT */
/* What a curve of old bytes over GC cycles is called. */
#include "unit.h"

#include "heap/verdict.h"

#define SECOND 1000000000ull

/* n points a second apart, one cycle each, of a curve. */
static enum verdict judge(uint64_t (*curve)(uint32_t i), uint32_t n, double *growth)
{
	struct trend t = { 0 };

	for (uint32_t i = 0; i < n; i++)
		trend_add(&t, (i + 1) * SECOND, curve(i), i + 1);
	return trend_judge(&t, growth);
}

static uint64_t leak(uint32_t i)
{
	return 10000 + 5000ull * i;
}

static uint64_t flat(uint32_t i)
{
	(void)i;
	return 1 << 20;
}

static uint64_t plateau(uint32_t i) /* a cache that fills up and stays */
{
	return i < 10 ? 100000ull * (i + 1) : 1000000;
}

static uint64_t sawtooth(uint32_t i) /* a cache that is emptied now and then */
{
	return 10000 + 20000ull * (i % 5);
}

static uint64_t shrinking(uint32_t i)
{
	return 10000000 - 100000ull * i;
}

static uint64_t noise(uint32_t i) /* a few bytes up and down on a large heap */
{
	return (10 << 20) + 500ull * (i % 7);
}

static uint64_t slow_leak_on_a_large_heap(uint32_t i) /* below 1/16 of it so far */
{
	return (100ull << 20) + 2000ull * i;
}

static uint64_t nothing_then_leak(uint32_t i)
{
	return i < 10 ? 0 : 4096ull * (i - 9);
}

static uint64_t uneven_leak(uint32_t i) /* grows with a step back now and then */
{
	return 100000 + 5000ull * i - (i % 5 == 4 ? 7000 : 0);
}

static void curves_get_their_verdicts(void **state)
{
	static const struct {
		const char *name;
		uint64_t (*curve)(uint32_t i);
		uint32_t points;
		enum verdict want;
	} rows[] = {
		{ "leak, one point", leak, 1, VERDICT_YOUNG },
		{ "leak, three points", leak, 3, VERDICT_YOUNG },
		{ "leak, four points", leak, 4, VERDICT_GROWING },
		{ "leak, five points", leak, 5, VERDICT_GROWING },
		{ "leak, six points", leak, 6, VERDICT_LEAK },
		{ "leak, many points", leak, 1000, VERDICT_LEAK },
		{ "flat", flat, 20, VERDICT_STABLE },
		{ "plateau", plateau, 30, VERDICT_STABLE },
		{ "sawtooth up to its foot", sawtooth, 26, VERDICT_STABLE },
		{ "shrinking", shrinking, 20, VERDICT_STABLE },
		{ "noise", noise, 24, VERDICT_STABLE },
		{ "slow on a large heap", slow_leak_on_a_large_heap, 20, VERDICT_STABLE },
		{ "nothing old yet", nothing_then_leak, 10, VERDICT_YOUNG },
		{ "old since three points", nothing_then_leak, 13, VERDICT_YOUNG },
		{ "old since six points", nothing_then_leak, 16, VERDICT_LEAK },
		{ "uneven leak", uneven_leak, 30, VERDICT_LEAK },
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		double growth;
		enum verdict v = judge(rows[i].curve, rows[i].points, &growth);

		if (v != rows[i].want)
			fail_msg("%s: %s instead of %s", rows[i].name, verdict_name(v),
				 verdict_name(rows[i].want));
		assert_true(v >= VERDICT_GROWING ? growth > 0 : growth >= 0);
	}
}

static void growth_is_bytes_per_second_of_the_later_half(void **state)
{
	double growth;

	(void)state;
	assert_int_equal(judge(leak, 20, &growth), VERDICT_LEAK);
	assert_true(growth > 4999 && growth < 5001);
	judge(shrinking, 20, &growth);
	assert_true(growth == 0);
}

static void reports_within_one_cycle_are_one_point(void **state)
{
	struct trend t = { 0 };
	double growth;

	(void)state;
	/* Ten reports, but the collector never ran: nothing can be said. */
	for (uint32_t i = 0; i < 10; i++)
		trend_add(&t, (i + 1) * SECOND, leak(i), 7);
	assert_int_equal(t.n, 1);
	assert_int_equal(t.p[0].old_bytes, leak(9));
	assert_int_equal(trend_judge(&t, &growth), VERDICT_YOUNG);
}

static void an_empty_trend_is_young(void **state)
{
	struct trend t = { 0 };
	double growth = 5;

	(void)state;
	assert_int_equal(trend_judge(&t, &growth), VERDICT_YOUNG);
	assert_true(growth == 0);
}

static void a_full_trend_keeps_its_first_and_its_latest_point(void **state)
{
	struct trend t = { 0 };

	(void)state;
	for (uint32_t i = 0; i < 10 * TREND_POINTS; i++) {
		trend_add(&t, (i + 1) * SECOND, leak(i), i + 1);
		assert_true(t.n <= TREND_POINTS);
		assert_int_equal(t.p[0].cycle, 1);
		assert_int_equal(t.p[t.n - 1].cycle, i + 1);
		for (uint32_t k = 1; k < t.n; k++)
			assert_true(t.p[k].cycle > t.p[k - 1].cycle);
	}
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
		cmocka_unit_test(curves_get_their_verdicts),
		cmocka_unit_test(growth_is_bytes_per_second_of_the_later_half),
		cmocka_unit_test(reports_within_one_cycle_are_one_point),
		cmocka_unit_test(an_empty_trend_is_young),
		cmocka_unit_test(a_full_trend_keeps_its_first_and_its_latest_point),
		cmocka_unit_test(every_verdict_has_its_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
