/* SPDX-License-Identifier: MIT */
/* What a census found at an address of a sample: the object that was born there, or another one. */
#include "unit.h"

#include "heap/confirm.h"

#define MAX_ASKS 16

struct run {
	struct estimate_sample sample[MAX_ASKS];
	struct census_ask asks[MAX_ASKS];
	struct confirm_object of[MAX_ASKS];
	size_t n;
};

/* Held, a table, at an address of its own. order: in the list of all objects, the newest is 1. */
static void add(struct run *r, uint32_t window, uint64_t order)
{
	size_t i = r->n++;

	r->sample[i] = (struct estimate_sample){ .state = 1, .window = window, .survivors = 10,
						 .uaddr = 0x1000 + 0x40 * i };
	r->asks[i] =
		(struct census_ask){ .answer = CENSUS_HELD, .kind = CENSUS_TABLE, .order = order };
	r->of[i] = (struct confirm_object){ .sample = &r->sample[i], .kind = KIND_TABLE };
}

/* "HA-": each ask, held or absent or neither. */
static void expect(struct run *r, const char *answers)
{
	confirm_reject(r->asks, r->of, r->n);
	assert_int_equal(strlen(answers), r->n);
	for (size_t i = 0; i < r->n; i++) {
		enum census_answer answer = r->asks[i].answer;
		char got = answer == CENSUS_HELD ? 'H' : answer == CENSUS_ABSENT ? 'A' : '-';

		if (got != answers[i])
			fail_msg("object %zu: %c, not %c (%s)", i, got, answers[i], answers);
	}
}

static void what_fits_stays_held(void **unused)
{
	struct run r = { .n = 0 };

	(void)unused;
	add(&r, 0, 100);
	add(&r, 0, 99);
	add(&r, 1, 50);
	add(&r, 2, 3);
	expect(&r, "HHHH");
	r.n = 0;
	expect(&r, "");
}

static void another_kind_of_object_is_another_object(void **unused)
{
	struct run r = { .n = 0 };

	(void)unused;
	add(&r, 0, 100);
	add(&r, 0, 99);
	r.asks[1].kind = CENSUS_STRING;
	expect(&r, "HA");
}

static void what_is_younger_than_a_later_window_is_another_object(void **unused)
{
	struct run r = { .n = 0 };

	(void)unused;
	add(&r, 0, 100);
	add(&r, 0, 20);
	add(&r, 1, 50);
	add(&r, 2, 60); /* born last, so what stands before it in the list cannot be older */
	expect(&r, "HAAH");
	r.n = 0;
	add(&r, 0, 20);
	add(&r, 1, 50);
	r.sample[1].state = 2; /* another state has a list of its own */
	expect(&r, "HH");
	r.n = 0;
	add(&r, 0, 20);
	add(&r, 1, 50);
	r.of[1].kind = KIND_FUNCTION; /* and objects of another kind may be born otherwise */
	r.asks[1].kind = CENSUS_FUNCTION;
	expect(&r, "HH");
}

static void an_address_that_a_later_window_saw_is_used_again(void **unused)
{
	struct run r = { .n = 0 };

	(void)unused;
	add(&r, 0, 0); /* no order: LuaJIT's strings are on no list */
	add(&r, 1, 0);
	add(&r, 1, 0);
	r.sample[1].uaddr = r.sample[0].uaddr;
	expect(&r, "AHH");
	r.n = 0;
	add(&r, 0, 0);
	add(&r, 1, 0);
	r.sample[1].uaddr = r.sample[0].uaddr;
	r.sample[1].state = 2;
	expect(&r, "HH");
}

static void what_stands_apart_from_its_window_is_another_object(void **unused)
{
	struct run r = { .n = 0 };

	(void)unused;
	add(&r, 0, 100);
	add(&r, 0, 90);
	add(&r, 0, 80); /* ten objects survived, as many may have come while the window closed */
	add(&r, 0, 79);
	expect(&r, "HHHA");
	r.n = 0;
	add(&r, 0, 100);
	add(&r, 0, 70);
	r.asks[0].answer = CENSUS_UNHELD; /* garbage is where it was born too */
	expect(&r, "-A");
	r.n = 0;
	add(&r, 0, 100);
	add(&r, 0, 70);
	r.of[1].kind = KIND_USERDATA; /* on a list of their own */
	r.asks[1].kind = CENSUS_USERDATA;
	expect(&r, "HH");
}

static void nothing_speaks_against_the_ledger(void **unused)
{
	struct run r = { .n = 0 };

	(void)unused;
	add(&r, 0, 10);
	add(&r, 1, 90);
	r.of[0].sample = NULL;
	r.asks[0].kind = CENSUS_STRING;
	expect(&r, "HH");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_fits_stays_held),
		cmocka_unit_test(another_kind_of_object_is_another_object),
		cmocka_unit_test(what_is_younger_than_a_later_window_is_another_object),
		cmocka_unit_test(an_address_that_a_later_window_saw_is_used_again),
		cmocka_unit_test(what_stands_apart_from_its_window_is_another_object),
		cmocka_unit_test(nothing_speaks_against_the_ledger),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
