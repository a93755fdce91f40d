/* SPDX-License-Identifier: MIT */
/* states-not-closed: which histories of births and closings are told. */
#include "unit.h"

#include "heap/detect.h"

#define PID 100
#define S 1000000000ull

struct fixture {
	struct heap heap;
	struct snapshot snap;
	struct strpool *strings;
	struct findings findings;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->strings = f->findings.strings = strpool_new();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	findings_deinit(&f->findings);
	heap_deinit(&f->heap);
	strpool_free(f->strings);
	free(f);
	return 0;
}

/* A second's births and closings, then a look: is it told? */
static bool second(struct fixture *f, unsigned int births, unsigned int closings)
{
	unsigned int n = 0;

	f->snap.end_ns += S;
	while (births--)
		assert_int_equal(creators_born(&f->heap.creators, PID, 1, f->snap.end_ns), 0);
	while (closings--)
		assert_int_equal(creators_closed(&f->heap.creators, PID), 0);
	assert_int_equal(heap_apply(&f->heap, &f->snap), 0);
	detect_snapshot(&f->findings, &f->heap, &f->snap, false);
	vec_each(x, &f->findings.v)
		n += !x->withdrawn;
	return n;
}

static bool seconds(struct fixture *f, unsigned int n, unsigned int births, unsigned int closings)
{
	bool told = false;

	while (n--)
		told = second(f, births, closings);
	return told;
}

static void states_that_are_never_closed_are_told(void **state)
{
	assert_false(seconds(*state, 9, 4, 0));
	assert_true(seconds(*state, 6, 4, 0));
	assert_true(seconds(*state, 600, 4, 0));
}

static void one_in_ten_that_stays_is_told(void **state)
{
	assert_true(seconds(*state, 30, 10, 9));
}

static void a_pool_that_is_full_is_not(void **state)
{
	seconds(*state, 10, 4, 0);
	assert_false(seconds(*state, 30, 0, 0));
}

static void states_that_go_later_are_not(void **state)
{
	seconds(*state, 5, 20, 0);
	for (int i = 0; i < 60; i++)
		assert_false(second(*state, 20, 20));
}

static void others_that_are_closed_do_not_make_it_less_than_none(void **state)
{
	assert_false(seconds(*state, 30, 1, 2));
}

#define CREATOR_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CREATOR_TEST(states_that_are_never_closed_are_told),
		CREATOR_TEST(one_in_ten_that_stays_is_told),
		CREATOR_TEST(a_pool_that_is_full_is_not),
		CREATOR_TEST(states_that_go_later_are_not),
		CREATOR_TEST(others_that_are_closed_do_not_make_it_less_than_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
