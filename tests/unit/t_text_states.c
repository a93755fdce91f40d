/* SPDX-License-Identifier: MIT */
/* The text names the states that matter, however many a program has. */
#include "unit.h"

#include "report/format.h"
#include "report/sites_alike.h"

/* The report as text, of `n` states: what each allocated and its heap, in bytes. Caller frees. */
static char *written(uint32_t top, bool active, const uint64_t (*states)[2], size_t n)
{
	struct format_options opt = { .first = true };
	struct report r = { .top = top, .active = active };
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (size_t i = 0; i < n; i++) {
		struct report_state s = { .state = (uint32_t)i + 1, .allocs = states[i][0],
					  .live_bytes = states[i][0], .heap_bytes = states[i][1],
					  .heap_known = true };

		assert_int_equal(vec_push(&r.states, s), 0);
	}
	text_write(&r, &opt, f);
	fclose(f);
	report_deinit(&r);
	return text;
}

static const uint64_t five[][2] = {
	{ 0, 1024 }, { 0, 1024 }, { 0, 4096 }, { 1, 1024 }, { 0, 1024 }
};

static void the_busiest_and_then_the_largest(void **unused)
{
	char *s = written(3, true, five, N_OF(five));

	(void)unused;
	assert_non_null(strstr(s, "state 1 "));
	assert_null(strstr(s, "state 2 "));
	assert_non_null(strstr(s, "state 3 "));
	assert_non_null(strstr(s, "state 4 "));
	assert_null(strstr(s, "state 5 "));
	assert_non_null(strstr(s, "2 more states with 2.0 KiB in all (-T"));
	free(s);
	s = written(4, true, five, N_OF(five));
	assert_non_null(strstr(s, "1 more state with 1.0 KiB in all (-T"));
	free(s);
}

static void all_where_all_were_asked_for(void **unused)
{
	static const struct {
		uint32_t top;
		bool active;
	} rows[] = { { 0, true }, { 5, true }, { 3, false } };

	(void)unused;
	for (size_t i = 0; i < N_OF(rows); i++) {
		char *s = written(rows[i].top, rows[i].active, five, N_OF(five));

		assert_non_null(strstr(s, "state 2 "));
		assert_non_null(strstr(s, "state 5 "));
		assert_null(strstr(s, "more state"));
		free(s);
	}
}

static void one_line_in_many_states_is_one_row(void **unused)
{
	static const struct report_site sites[] = {
		{ .state = 1, .kind = "string", .frame.lua = "@b.lua:1", .live_bytes = 3072, .live_blocks = 1 },
		{ .state = 1, .kind = "table", .frame.lua = "@a.lua:3", .live_bytes = 2048, .live_blocks = 2 },
		{ .state = 2, .kind = "table", .frame.lua = "@a.lua:3", .live_bytes = 2048, .live_blocks = 2,
		  .verdict = VERDICT_STABLE },
		{ .state = 3, .kind = "string", .frame.lua = "@a.lua:3", .live_bytes = 1024, .live_blocks = 1 },
		{ .state = 3, .kind = "table", .frame.lua = "@a.lua:3" }, /* nothing alive */
	};
	struct report r = { .active = true };
	struct sites_alike a;

	(void)unused;
	for (size_t i = 0; i < N_OF(sites); i++)
		assert_int_equal(vec_push(&r.sites, sites[i]), 0);
	assert_int_equal(sites_alike(&r, &a), 0);
	assert_int_equal(a.v.n, 3);
	assert_string_equal(a.v.v[0].sum.kind, "table"); /* together they are the largest */
	assert_int_equal(a.v.v[0].n, 2);
	assert_int_equal(a.v.v[0].sum.live_bytes, 4096);
	assert_int_equal(a.v.v[0].sum.live_blocks, 4);
	assert_int_equal(a.v.v[0].sum.verdict, VERDICT_STABLE);
	assert_string_equal(a.v.v[1].sum.frame.lua, "@b.lua:1");
	assert_int_equal(a.v.v[1].n, 1);
	sites_alike_deinit(&a);
	report_deinit(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_busiest_and_then_the_largest),
		cmocka_unit_test(all_where_all_were_asked_for),
		cmocka_unit_test(one_line_in_many_states_is_one_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
