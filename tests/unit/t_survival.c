/* SPDX-License-Identifier: MIT */
/*
 * survival, by itself and with what verdict.c says, on workloads by chance. The rates here are
 * those that the project states; LMT_WORKLOADS multiplies how many of each are tried.
 */
#include "simulated.h"

#include "heap/survival.h"

static void one_in_k_is_told_within_a_minute_and_twice_its_life(void **state)
{
	unsigned int n = workloads(100), missed = 0, warned = 0;

	(void)state;
	for (unsigned int i = 0; i < n; i++) {
		struct workload w = sessions((unsigned int)between(1, 51), i);
		struct outcome o = simulate(&w);

		missed += o.told_s <= 0;
		warned += w.k > 1 && w.life_s > 3 * w.cycle_s + 2 && !o.error;
	}
	print_message("one in K: %u of %u missed, %u only warned of\n", missed, n, warned);
	assert_true(missed * 20 <= n);
	assert_true(warned * 20 <= n);
}

static void where_all_go_nothing_is_told(void **state)
{
	unsigned int n = workloads(100);

	(void)state;
	for (unsigned int i = 0; i < n; i++) {
		struct workload w = sessions(0, i);

		assert_false(simulate(&w).alarm);
	}
}

static void no_healthy_workload_is_an_error(void **state)
{
	unsigned int n = workloads(20), warnings = 0, standing = 0, errors = 0;

	(void)state;
	for (unsigned int i = 0; i < n * FATES; i++) {
		struct workload w = healthy(i % FATES, i);
		struct outcome o = simulate(&w);

		warnings += o.alarm;
		standing += o.told_s > 0;
		errors += o.error;
		if (o.error)
			print_message("fate %u: %.0f/s life %.1f s, %u places, %u keys%s, cycle %.2f s, "
				      "before %.0f s: error at %.0f s\n", w.fate, w.per_s, w.life_s,
				      w.places, w.keys, w.diurnal ? ", waves" : "", w.cycle_s,
				      w.before_s, o.alarm_s);
	}
	print_message("healthy: %u of %u warned of (at the end %u), %u errors\n", warnings, n * FATES,
		      standing, errors);
	assert_true(errors * 200 <= n * FATES);
}

static void a_leak_behind_a_healthy_workload_is_told(void **state)
{
	unsigned int n = workloads(20), missed = 0;
	unsigned int by_fate[FATES] = { 0 };

	(void)state;
	for (unsigned int i = 0; i < n * FATES; i++) {
		struct workload w = healthy(i % FATES, i);

		w.k = (unsigned int)between(2, 20);
		w.diurnal = false;
		if (simulate(&w).told_s > 0)
			continue;
		missed++;
		by_fate[w.fate]++;
	}
	print_message("leaks behind healthy ones: %u of %u missed in 120 s; by fate", missed, n * FATES);
	for (unsigned int i = 0; i < FATES; i++)
		print_message(" %u", by_fate[i]);
	print_message("\n");
	assert_true(missed * 4 <= n * FATES);
	assert_int_equal(by_fate[FATE_FIXED] + by_fate[FATE_TTL] + by_fate[FATE_SAWTOOTH], 0);
}

static double part_at(double age_s)
{
	return 0.1 + 0.9 * exp(-age_s / 5);
}

static void the_estimate_has_the_truth_in_its_interval(void **state)
{
	struct survival s = { 0 };
	struct births alive = { .blocks = { 0 } };
	struct age_window w = { .known = false };
	double share, low, high;

	(void)state;
	/* 100 a second with a mean life of 5 s, of which a tenth stay */
	for (uint32_t now = 1000; now <= 40000; now += 1000) {
		for (uint32_t i = 0; i < now / 1000; i++)
			alive.blocks[i] = (uint32_t)(100 * part_at(now / 1000.0 - i - 0.5) + 0.5);
		survival_add(&s, now - 1000, now, now / 10, &alive, &w);
	}
	/* an age is known to half a stretch */
	assert_true(survival_at(&s, 5, &share, &low, &high));
	assert_true(low < part_at(4.5) && part_at(5.5) < high && high - low < 0.05);
	assert_true(survival_at(&s, 30, &share, &low, &high));
	assert_true(low < part_at(29.5) && part_at(30.5) < high && high - low < 0.05);
	assert_false(survival_at(&s, 60, &share, &low, &high));
}

static void a_longer_trace_keeps_what_was_counted(void **state)
{
	struct survival s = { 0 };
	struct births alive = { .blocks = { 0 } };
	struct age_window w = { .known = false };
	double born = 0;

	(void)state;
	for (uint32_t now = 1000; now <= 1000 * 1000; now += 1000) {
		memset(&alive, 0, sizeof(alive));
		for (uint32_t i = 0; i < now; i += 1000)
			alive.blocks[i / births_width(now)] += 5;
		survival_add(&s, now - 1000, now, now / 200, &alive, &w);
	}
	for (unsigned int i = 0; i < BIRTH_STRETCHES; i++)
		born += s.born[i];
	assert_true(fabs(born - 5000) < 50);
	assert_int_equal(s.width_ms, births_width(1000 * 1000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_in_k_is_told_within_a_minute_and_twice_its_life),
		cmocka_unit_test(where_all_go_nothing_is_told),
		cmocka_unit_test(no_healthy_workload_is_an_error),
		cmocka_unit_test(a_leak_behind_a_healthy_workload_is_told),
		cmocka_unit_test(the_estimate_has_the_truth_in_its_interval),
		cmocka_unit_test(a_longer_trace_keeps_what_was_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
