/* SPDX-License-Identifier: MIT */
/* vec, hashmap and strpool keep what they are given. */
#include "unit.h"

#include "base/hashmap.h"
#include "base/strpool.h"
#include "base/vec.h"

static void vec_keeps_order_while_it_grows(void **state)
{
	vec_of(uint32_t) v = { 0 };
	uint32_t sum = 0;

	(void)state;
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(vec_push(&v, i), 0);
	assert_int_equal(v.n, 1000);
	assert_true(v.cap >= v.n);
	vec_each(p, &v) {
		assert_int_equal(*p, (uint32_t)(p - v.v));
		sum += *p;
	}
	assert_int_equal(sum, 499500);
	vec_deinit(&v);
	assert_null(v.v);
	assert_int_equal(v.n, 0);
}

static void an_empty_vec_can_be_walked_and_freed(void **state)
{
	vec_of(int) v = { 0 };

	(void)state;
	vec_each(p, &v)
		fail();
	vec_deinit(&v);
}

struct pair {
	int a, b;
};

static void vec_takes_structs(void **state)
{
	vec_of(struct pair) v = { 0 };

	(void)state;
	assert_int_equal(vec_push(&v, (struct pair){ 1, 2 }), 0);
	assert_int_equal(v.v[0].b, 2);
	vec_deinit(&v);
}

/* Keys as they come: neighbours, multiples of a page, extremes. */
static uint64_t key_of(unsigned int i)
{
	switch (i % 3) {
	case 0:
		return i + 1;
	case 1:
		return (uint64_t)i << 32;
	default:
		return UINT64_MAX - i;
	}
}

static void hashmap_finds_every_key_after_growth(void **state)
{
	struct hashmap m = { 0 };
	const unsigned int n = 5000;

	(void)state;
	for (unsigned int i = 0; i < n; i++)
		*hashmap_get_or_add(&m, key_of(i)) = i;
	assert_int_equal(m.n, n);
	for (unsigned int i = 0; i < n; i++) {
		uint64_t *v = hashmap_lookup(&m, key_of(i));

		assert_non_null(v);
		assert_int_equal(*v, i);
	}
	hashmap_deinit(&m);
}

static void hashmap_tells_what_is_missing(void **state)
{
	struct hashmap m = { 0 };

	(void)state;
	assert_null(hashmap_lookup(&m, 7));
	assert_int_equal(*hashmap_get_or_add(&m, 7), 0);
	assert_non_null(hashmap_lookup(&m, 7));
	assert_null(hashmap_lookup(&m, 8));
	assert_null(hashmap_lookup(&m, 0));
	hashmap_deinit(&m);
	assert_null(hashmap_lookup(&m, 7));
}

static void hashmap_adding_twice_is_adding_once(void **state)
{
	struct hashmap m = { 0 };

	(void)state;
	*hashmap_get_or_add(&m, 42) = 1;
	assert_int_equal(*hashmap_get_or_add(&m, 42), 1);
	assert_int_equal(m.n, 1);
	hashmap_deinit(&m);
}

static void strpool_gives_equal_strings_one_id(void **state)
{
	struct strpool *p = strpool_new();
	char text[32];

	(void)state;
	for (unsigned int i = 0; i < 2000; i++) {
		snprintf(text, sizeof(text), "@file%u.lua:%u", i % 500, i % 500);
		assert_int_equal(strpool_add(p, text), i % 500 + 1);
	}
	assert_string_equal(strpool_get(p, 1), "@file0.lua:0");
	assert_string_equal(strpool_get(p, 500), "@file499.lua:499");
	strpool_free(p);
}

static void strpool_has_no_string_for_id_zero_or_unknown(void **state)
{
	struct strpool *p = strpool_new();

	(void)state;
	assert_string_equal(strpool_get(p, 0), "");
	assert_string_equal(strpool_get(p, 1), "");
	assert_int_equal(strpool_add(p, ""), 1);
	assert_string_equal(strpool_get(p, 2), "");
	assert_string_equal(strpool_get(p, UINT32_MAX), "");
	strpool_free(p);
	strpool_free(NULL);
}

static void strpool_strings_stay_where_they_are(void **state)
{
	struct strpool *p = strpool_new();
	const char *first = strpool_get(p, strpool_add(p, "first"));
	char text[16];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "%d", i);
		strpool_add(p, text);
	}
	assert_ptr_equal(strpool_get(p, 1), first);
	assert_string_equal(first, "first");
	strpool_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vec_keeps_order_while_it_grows),
		cmocka_unit_test(an_empty_vec_can_be_walked_and_freed),
		cmocka_unit_test(vec_takes_structs),
		cmocka_unit_test(hashmap_finds_every_key_after_growth),
		cmocka_unit_test(hashmap_tells_what_is_missing),
		cmocka_unit_test(hashmap_adding_twice_is_adding_once),
		cmocka_unit_test(strpool_gives_equal_strings_one_id),
		cmocka_unit_test(strpool_has_no_string_for_id_zero_or_unknown),
		cmocka_unit_test(strpool_strings_stay_where_they_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
