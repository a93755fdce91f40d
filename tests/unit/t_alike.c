/* SPDX-License-Identifier: MIT */
/* One line that leaks in many states is told once, with what it is in all. */
#include "unit.h"

#include "report/findings_alike.h"

static void add(struct report *r, const char *lua, uint32_t state, uint64_t count, uint64_t bytes)
{
	struct report_finding f = { .kind = FINDING_LEAK, .state = state, .count = count,
				    .frame = { .lua = lua } };
	struct report_evidence e = { .key = "bytes", .type = EVIDENCE_NUMBER, .n = bytes };

	assert_int_equal(vec_push(&f.evidence, e), 0);
	assert_int_equal(vec_push(&r->findings, f), 0);
}

static void object(struct report *r, const char *kind)
{
	struct report_evidence e = { .key = "object", .type = EVIDENCE_TEXT, .text = kind };

	assert_int_equal(vec_push(&r->findings.v[r->findings.n - 1].evidence, e), 0);
}

static void test_states(void **unused)
{
	struct report r = { 0 };
	struct findings_alike a;

	(void)unused;
	add(&r, "@b.lua:1", 1, 10, 100);
	add(&r, "@a.lua:7", 1, 5, 50);
	add(&r, "@a.lua:7", 2, 9, 90);
	add(&r, "@a.lua:7", 3, 7, 70);
	assert_int_equal(findings_alike(&r, &a), 0);
	assert_int_equal(a.groups.n, 2);
	assert_string_equal(a.groups.v[0].f->frame.lua, "@b.lua:1"); /* as the report has them */
	assert_int_equal(a.groups.v[0].n, 1);
	assert_int_equal(a.groups.v[1].f->state, 2);
	assert_int_equal(a.groups.v[1].n, 3);
	assert_int_equal(a.groups.v[1].count, 21);
	assert_int_equal(a.groups.v[1].bytes, 210);
	findings_alike_deinit(&a);
	report_deinit(&r);
}

/* What is not known to be the same is told by itself. */
static void test_different(void **unused)
{
	struct report r = { 0 };
	struct findings_alike a;

	(void)unused;
	add(&r, NULL, 1, 1, 8);
	add(&r, NULL, 2, 1, 8);
	add(&r, "@a.lua:7", 1, 5, 50);
	object(&r, "table");
	add(&r, "@a.lua:7", 1, 5, 50);
	object(&r, "string");
	add(&r, "@a.lua:7", 2, 5, 50);
	object(&r, "string");
	assert_int_equal(findings_alike(&r, &a), 0);
	assert_int_equal(a.groups.n, 4);
	assert_int_equal(a.groups.v[3].n, 2);
	findings_alike_deinit(&a);
	report_deinit(&r);
}

static void test_none(void **unused)
{
	struct report r = { 0 };
	struct findings_alike a;

	(void)unused;
	assert_int_equal(findings_alike(&r, &a), 0);
	assert_int_equal(a.groups.n, 0);
	findings_alike_deinit(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_different),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
