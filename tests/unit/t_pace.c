/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "collect/pace.h"

static void work_and_time_are_found_in_both_directions(void **state)
{
	struct pace p = { .n = 0 };

	(void)state;
	pace_add(&p, &(struct pace_point){ 1000, 0, 0 });
	pace_add(&p, &(struct pace_point){ 2000, 500, 10 });
	pace_add(&p, &(struct pace_point){ 4000, 500, 10 }); /* idle */
	pace_add(&p, &(struct pace_point){ 5000, 700, 30 });
	assert_int_equal(pace_at(&p, 1500).work, 250);
	assert_int_equal(pace_at(&p, 1500).old_frees, 5);
	assert_int_equal(pace_at(&p, 3000).work, 500);
	assert_int_equal(pace_at(&p, 9000).work, 700);
	assert_int_equal(pace_at(&p, 0).work, 0);
	assert_int_equal(pace_when(&p, 250), 1500);
	assert_int_equal(pace_when(&p, 600), 4500);
	assert_int_equal(pace_when(&p, 9999), 5000);
}

static void a_long_history_stays_small_and_keeps_its_ends(void **state)
{
	struct pace p = { .n = 0 };

	(void)state;
	for (uint64_t i = 0; i <= 100000; i++) {
		pace_add(&p, &(struct pace_point){ i, i * 7, i });
		assert_true(p.n <= PACE_POINTS);
	}
	assert_int_equal(p.p[0].ms, 0);
	assert_int_equal(p.p[p.n - 1].ms, 100000);
	assert_in_range(pace_at(&p, 50000).work, 350000 - 7, 350000 + 7);
	assert_in_range(pace_when(&p, 140000), 19999, 20001);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(work_and_time_are_found_in_both_directions),
		cmocka_unit_test(a_long_history_stays_small_and_keeps_its_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
