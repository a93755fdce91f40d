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

static const struct finding *how_sure(struct fixture *f, enum survival_says says, double released,
				      const char *holder)
{
	struct heap_site *s = &f->heap.sites.v[0];

	s->says = (struct survival_answer){ .says = says, .stay_s = 8, .released = released,
					    .share = 0.1 };
	s->holder = holder ? strpool_add(f->strings, holder) : 0;
	look(f, VERDICT_LEAK, BYTES);
	return &f->findings.v.v[f->findings.v.n - 1];
}

static void what_may_be_a_cache_is_only_warned_of(void **state)
{
	struct fixture *f = *state;
	const struct finding *x =
		how_sure(f, SURVIVAL_UNKNOWN, 0, "_G\x1f" "cache\x1f[7]\x1ftable");

	assert_int_equal(x->severity, SEVERITY_WARNING);
	assert_int_equal(x->confidence, CONFIDENCE_POSSIBLE);
	assert_non_null(strstr(strpool_get(f->strings, x->advice), "cache that still fills"));
	x = how_sure(f, SURVIVAL_STAY, 3, NULL); /* few */
	assert_int_equal(x->severity, SEVERITY_WARNING);
}

static void a_reason_makes_an_error(void **state)
{
	struct fixture *f = *state;
	const struct finding *x = how_sure(f, SURVIVAL_STAY, 100, NULL);

	assert_int_equal(x->severity, SEVERITY_ERROR);
	assert_int_equal(x->confidence, CONFIDENCE_LIKELY);
	assert_non_null(strstr(strpool_get(f->strings, x->message), "one in 10 of"));
	x = how_sure(f, SURVIVAL_UNKNOWN, 0, "_G\x1f" "on.close[7]\x1f" "function @a.lua:3");
	assert_int_equal(x->confidence, CONFIDENCE_LIKELY);
	assert_non_null(strstr(strpool_get(f->strings, x->advice), "take a handler off"));
	x = how_sure(f, SURVIVAL_UNKNOWN, 0, "_G\x1f" "compiled.page\x1f" "function @a.lua:3");
	assert_int_equal(x->confidence, CONFIDENCE_POSSIBLE);
	x = how_sure(f, SURVIVAL_UNKNOWN, 0, "registry\x1f[12]\x1ftable");
	assert_int_equal(x->confidence, CONFIDENCE_LIKELY);
	x = how_sure(f, SURVIVAL_STAY, 100, "registry\x1f[12]\x1ftable");
	assert_int_equal(x->confidence, CONFIDENCE_CERTAIN);
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

static size_t standing(struct fixture *f)
{
	size_t n = 0;

	vec_each(x, &f->findings.v)
		n += !x->withdrawn;
	return n;
}

static uint64_t number(const struct finding *f, const char *key)
{
	for (unsigned int i = 0; i < f->n_evidence; i++)
		if (!strcmp(f->evidence[i].key, key))
			return f->evidence[i].n;
	return 0;
}

/* Adds a site of that line and kind that leaks so many bytes. */
static size_t add_leak(struct fixture *f, uint32_t line, enum block_kind kind, uint64_t bytes)
{
	size_t i = heap_site_at(&f->heap, 0, kind, (struct frame){ .where = line }, false, 0) - 1;

	f->heap.sites.v[i].verdict = VERDICT_LEAK;
	f->heap.sites.v[i].live_bytes = f->heap.sites.v[i].old_bytes = bytes;
	f->heap.sites.v[i].live_blocks = 10;
	return i;
}

static void kinds_of_a_line_are_one_finding(void **state)
{
	struct fixture *f = *state;
	uint32_t line = strpool_add(f->strings, "@app.lua:5"), other = strpool_add(f->strings, "@b.lua:7");

	add_leak(f, line, KIND_TABLE, 3000);
	add_leak(f, line, KIND_STRING, 9000);
	add_leak(f, other, KIND_STRING, 100);
	detect_snapshot(&f->findings, &f->heap, &f->snap, true);
	assert_int_equal(standing(f), 2);
	assert_int_equal(number(&f->findings.v.v[0], "bytes"), 12000);
	assert_int_equal(number(&f->findings.v.v[0], "blocks"), 20);
	assert_string_equal(strpool_get(f->strings, f->findings.v.v[0].frame.where), "@app.lua:5");
}

/* Lines that fill one container are one finding, also from then on when that becomes known. */
static void what_hangs_on_one_container_is_one_finding(void **state)
{
	struct fixture *f = *state;
	size_t a = add_leak(f, strpool_add(f->strings, "@a.lua:5"), KIND_TABLE, 3000);
	size_t b = add_leak(f, strpool_add(f->strings, "@b.lua:7"), KIND_STRING, 9000);
	size_t c = add_leak(f, strpool_add(f->strings, "@b.lua:9"), KIND_STRING, 50);

	detect_snapshot(&f->findings, &f->heap, &f->snap, true);
	assert_int_equal(standing(f), 3);
	f->heap.sites.v[a].holder = strpool_add(f->strings, "registry\x1f_LOADED.s\x1fupvalue open\x1f[7]\x1ftable");
	f->heap.sites.v[b].holder = strpool_add(f->strings, "registry\x1f_LOADED.s\x1fupvalue open\x1f[9].name\x1fstring");
	f->heap.sites.v[c].holder = strpool_add(f->strings, "registry\x1f_LOADED.t\x1fstring");
	detect_snapshot(&f->findings, &f->heap, &f->snap, true);
	assert_int_equal(standing(f), 2);
	f->heap.sites.v[a].verdict = VERDICT_STABLE;
	detect_snapshot(&f->findings, &f->heap, &f->snap, true);
	assert_int_equal(standing(f), 2); /* the other goes on */
	f->heap.sites.v[b].verdict = VERDICT_STABLE;
	detect_snapshot(&f->findings, &f->heap, &f->snap, true);
	assert_int_equal(standing(f), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(kinds_of_a_line_are_one_finding, setup, teardown),
		cmocka_unit_test_setup_teardown(what_hangs_on_one_container_is_one_finding, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_soon_levels_off_is_not_told, setup, teardown),
		cmocka_unit_test_setup_teardown(at_the_end_all_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(a_leak_that_levels_off_was_none, setup, teardown),
		cmocka_unit_test_setup_teardown(what_may_be_a_cache_is_only_warned_of, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_reason_makes_an_error, setup, teardown),
		cmocka_unit_test_setup_teardown(a_closed_state_keeps_its_leaks, setup, teardown),
		cmocka_unit_test_setup_teardown(totals_do_not_agree_where_not_all_was_seen, setup,
						teardown),
	};

	return cmocka_run_group_tests_name("leak", tests, NULL, NULL);
}
