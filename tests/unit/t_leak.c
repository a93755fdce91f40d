/* SPDX-License-Identifier: MIT */
/* detect: which findings the ledger as a whole gives, and which are taken back. */
#include "unit.h"

#include "heap/detect.h"

enum { INDEX = 2, SITE = 7, BYTES = 5000 };

struct fixture {
	struct heap heap;
	struct snapshot snap;
	struct strpool *strings;
	struct findings findings;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const struct layout *l = layouts_find("lua-5.4.3..5.4.8");

	assert_int_equal(heap_add_state(&f->heap, INDEX, 100, 1, &l->l, false), 0);
	assert_int_not_equal(heap_site_at(&f->heap, 0, KIND_TABLE, (struct frame){ .where = 1 },
					  false, 0),
			     0);
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

static unsigned int look_after(struct fixture *f, uint64_t seconds, enum verdict verdict,
			       uint64_t old_bytes)
{
	unsigned int n = 0;

	f->snap.end_ns += seconds * 1000000000;
	f->heap.sites.v[0].verdict = verdict;
	f->heap.sites.v[0].old_bytes = old_bytes;
	f->heap.states.v[0].age.known = true;
	detect_snapshot(&f->findings, &f->heap, &f->snap, false);
	vec_each(x, &f->findings.v)
		n += !x->withdrawn;
	return n;
}

/* Findings that stand when the site is looked at with this verdict, for long enough. */
static unsigned int look(struct fixture *f, enum verdict verdict, uint64_t old_bytes)
{
	look_after(f, 1, verdict, old_bytes);
	return look_after(f, 11, verdict, old_bytes);
}

static void what_soon_levels_off_is_not_told(void **state)
{
	assert_int_equal(look_after(*state, 1, VERDICT_LEAK, BYTES), 0);
	assert_int_equal(look_after(*state, 5, VERDICT_GROWING, BYTES), 0);
	assert_int_equal(look_after(*state, 4, VERDICT_LEAK, BYTES), 0);
	assert_int_equal(look_after(*state, 1, VERDICT_STABLE, BYTES), 0);
	assert_int_equal(look_after(*state, 1, VERDICT_LEAK, BYTES), 0);
	assert_int_equal(look_after(*state, 9, VERDICT_LEAK, BYTES), 0);
	assert_int_equal(look_after(*state, 2, VERDICT_LEAK, BYTES), 1);
}

static void at_the_end_all_is_told(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(look_after(f, 1, VERDICT_LEAK, BYTES), 0);
	detect_snapshot(&f->findings, &f->heap, &f->snap, true);
	assert_int_equal(f->findings.v.n, 1);
}

static void a_leak_that_levels_off_was_none(void **state)
{
	assert_int_equal(look(*state, VERDICT_GROWING, BYTES), 0);
	assert_int_equal(look(*state, VERDICT_LEAK, BYTES), 1);
	assert_int_equal(look(*state, VERDICT_GROWING, BYTES), 1); /* not as sure as before */
	assert_int_equal(look(*state, VERDICT_STABLE, BYTES), 0);
	assert_int_equal(look(*state, VERDICT_LEAK, BYTES), 1);
	assert_int_equal(look(*state, VERDICT_YOUNG, 0), 0); /* nothing of it is left */
}

static void a_closed_state_keeps_its_leaks(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(look(f, VERDICT_LEAK, BYTES), 1);
	f->heap.states.v[0].closed = true;
	assert_int_equal(look(f, VERDICT_STABLE, 0), 1);
}

/* The VM counts more than was seen: twice the same, so nothing went on in between. */
static unsigned int drifts(struct fixture *f)
{
	f->heap.states.v[0].heap_known = true;
	f->heap.states.v[0].heap_bytes = 100000;
	look(f, VERDICT_STABLE, 0);
	return look(f, VERDICT_STABLE, 0);
}

static void totals_do_not_agree_where_not_all_was_seen(void **state)
{
	struct fixture *f = *state;

	f->findings.windows = true;
	assert_int_equal(drifts(f), 0);
	f->findings.windows = false;
	assert_int_equal(drifts(f), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_soon_levels_off_is_not_told, setup, teardown),
		cmocka_unit_test_setup_teardown(at_the_end_all_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(a_leak_that_levels_off_was_none, setup, teardown),
		cmocka_unit_test_setup_teardown(a_closed_state_keeps_its_leaks, setup, teardown),
		cmocka_unit_test_setup_teardown(totals_do_not_agree_where_not_all_was_seen, setup,
						teardown),
	};

	return cmocka_run_group_tests_name("leak", tests, NULL, NULL);
}
