/* SPDX-License-Identifier: MIT */
/* feature: which way probes are placed follows from what was tried, and from nothing else. */
#include "unit.h"

#include <errno.h>

#include "attach/feature.h"

static struct features working(void)
{
	return (struct features){ .btf = true, .load = { .result = TRIAL_WORKS } };
}

static void the_most_capable_way_that_works_is_taken(void **state)
{
	struct features f = working();

	(void)state;
	assert_int_equal(feature_best_way(&f), WAY_SESSION); /* not tried yet: it is tried first */
	f.ways[WAY_SESSION].result = TRIAL_WORKS;
	f.ways[WAY_MULTI].result = TRIAL_WORKS;
	assert_int_equal(feature_best_way(&f), WAY_SESSION);
	feature_failed(&f.ways[WAY_SESSION], -EINVAL, "the kernel refuses the programs");
	assert_int_equal(feature_best_way(&f), WAY_MULTI);
	feature_failed(&f.ways[WAY_MULTI], -ENOENT, "the same");
	assert_int_equal(feature_best_way(&f), WAY_PERF);
	feature_failed(&f.ways[WAY_PERF], -EINVAL, "no cookies");
	assert_int_equal(feature_best_way(&f), WAYS);
}

static void a_failure_keeps_its_reason(void **state)
{
	struct trial t = { .result = TRIAL_WORKS };

	(void)state;
	feature_failed(&t, -EACCES, "refused by %s", "the verifier");
	assert_int_equal(t.result, TRIAL_FAILED);
	assert_int_equal(t.err, EACCES);
	assert_string_equal(t.why, "refused by the verifier");
}

static void what_the_kernel_lacks_is_not_what_the_user_lacks(void **state)
{
	struct features f = working();
	struct errmsg err;

	(void)state;
	assert_int_equal(feature_check(&f, &err), 0);
	for (enum feature_way way = 0; way < WAYS; way++)
		feature_failed(&f.ways[way], -EINVAL, "no BPF cookies");
	assert_int_equal(feature_check(&f, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "no BPF cookies"));
	feature_failed(&f.ways[WAY_PERF], -EPERM, "this kernel wants CAP_SYS_ADMIN for them");
	assert_int_equal(feature_check(&f, &err), -EPERM);
	assert_non_null(strstr(err.text, "CAP_SYS_ADMIN"));
	feature_failed(&f.load, -EPERM, "not permitted");
	assert_int_equal(feature_check(&f, &err), -EPERM);
	f = working();
	f.btf = false;
	assert_int_equal(feature_check(&f, &err), -EOPNOTSUPP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_most_capable_way_that_works_is_taken),
		cmocka_unit_test(a_failure_keeps_its_reason),
		cmocka_unit_test(what_the_kernel_lacks_is_not_what_the_user_lacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
