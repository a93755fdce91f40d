/* SPDX-License-Identifier: MIT */
/* Series of a metric: the same labels are one, dead ones add to it, and a bound keeps the sum. */
#include "unit.h"

#include "report/series.h"

static char *written(struct series_list *l, size_t max)
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	series_write(l, "m", max, out);
	fclose(out);
	series_deinit(l);
	return text;
}

static void same_labels_are_one(void **state)
{
	struct series_list l = { 0 };
	char *text;

	(void)state;
	series_add(&l, strdup("a=\"1\""), 2, true);
	series_add(&l, strdup("a=\"2\""), 7, false);
	series_add(&l, strdup("a=\"1\""), 3, false);
	series_fold(&l, false);
	text = written(&l, 0);
	assert_string_equal(text, "m{a=\"1\"} 5\n");
	free(text);
}

static void biggest_of_them(void **state)
{
	struct series_list l = { 0 };
	char *text;

	(void)state;
	series_add(&l, strdup("a=\"1\""), 2.5, true);
	series_add(&l, strdup("a=\"1\""), 1, true);
	series_fold(&l, true);
	text = written(&l, 0);
	assert_string_equal(text, "m{a=\"1\"} 2.500\n");
	free(text);
}

static void rest_is_summed(void **state)
{
	struct series_list l = { 0 };
	char *text;

	(void)state;
	for (int i = 1; i <= 5; i++) {
		char *labels;

		assert_true(asprintf(&labels, "a=\"%d\"", i) > 0);
		series_add(&l, labels, i, true);
	}
	series_fold(&l, false);
	text = written(&l, 2);
	assert_string_equal(text, "m{a=\"5\"} 5\nm{a=\"4\"} 4\nm{other=\"true\"} 6\n");
	free(text);
}

static void out_of_memory_is_told(void **state)
{
	struct series_list l = { 0 };

	(void)state;
	series_add(&l, NULL, 1, true);
	assert_true(l.failed);
	series_deinit(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_labels_are_one),
		cmocka_unit_test(biggest_of_them),
		cmocka_unit_test(rest_is_summed),
		cmocka_unit_test(out_of_memory_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
