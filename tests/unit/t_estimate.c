/* SPDX-License-Identifier: MIT */
/*
 * Places that keep what they make, or part of it, or none, seen in windows; what is said of them.
 */
#include "unit.h"

#include "heap/estimate.h"
#include "resolve/layouts.h"

#define WINDOWS 60
#define BIRTHS 100 /* of each place in each window */
#define SIZE 56
#define SCALE 50 /* calls for each that was seen */

enum place { LEAKS, GARBAGE, RING, LOADED_ONCE, HALF_FULL, FILLS_UP, N_PLACES };

struct run {
	struct estimate e;
	struct heap heap;
	struct gcpoll gc;
	uint32_t window; /* now */
	uint32_t windows; /* in all */
	bool rare;        /* no cycle was completed: time and censuses stand in for them */
};

static bool is_held(enum place p, uint32_t born, const struct run *r)
{
	if (p == RING)
		return born + 4 > r->window;
	if (p == LOADED_ONCE)
		return born < 3;
	return p == LEAKS || p == FILLS_UP || (p == HALF_FULL && born < r->windows / 2);
}

static int changed_word = -1; /* of what is read */

static bool read_text(void *ctx, uint32_t state, uint64_t uaddr, uint8_t *text, uint32_t n)
{
	(void)ctx, (void)state;
	for (uint32_t i = 0; i < n; i++)
		text[i] = (uint8_t)(uaddr >> i % 8 * 8) ^ (uint8_t)((int)i / 8 == changed_word);
	return true;
}

static bool is_object(void *ctx, const struct snapshot_site *site, uint64_t uaddr)
{
	(void)ctx, (void)site, (void)uaddr;
	return true;
}

static const struct estimate_reader reader = { read_text, is_object, NULL };

static void open_window(struct run *r, uint32_t cycle)
{
	estimate_open_window(&r->e, r->window * 1000u);
	for (uint32_t p = 0; p < N_PLACES; p++) {
		uint32_t n =
			p == FILLS_UP ? BIRTHS - BIRTHS * r->window / (r->windows + 10) : BIRTHS;
		struct snapshot_site s = { .index = p + 1, .state = 1, .live_blocks = n,
					   .live_bytes = n * SIZE };

		for (uint32_t i = 0; i < SNAPSHOT_SAMPLES; i++)
			s.sample_uaddr[i] = 0x100000u * (p + 1) + r->window * 0x1000u + i * 0x40u;
		assert_int_equal(estimate_count(&r->e, &s), 0);
		assert_int_equal(estimate_add(&r->e, &s, 0, cycle, &reader), 0);
	}
	estimate_close_window(&r->e);
	r->window++;
}

static void take_census(struct run *r)
{
	vec_each(s, &r->e.samples)
		estimate_confirm(s, is_held((enum place)(s->site - 1), s->window, r), KIND_TABLE);
	estimate_close_walk(&r->e, r->windows * 1000u);
}

/*
 * cycle_of: completed ones at a window; floor: the heap after the latest, in percent of the
 * first's.
 */
static void judge(struct run *r, uint32_t (*cycle_of)(uint32_t), uint64_t floor)
{
	static const struct lmt_layout layout;
	struct gcpoll_state gc = { .index = 1, .floors = 5 };
	struct heap_state *st;

	r->windows = r->windows ? r->windows : WINDOWS;
	gc.floor_first = 3ull * r->windows * BIRTHS * SIZE * SCALE; /* thrice what leaks */
	gc.floor_last = gc.floor_first / 100 * floor;
	if (r->rare) {
		gc.floors = 0;
		gc.stall = (struct gc_stall){ .rare = true, .held_first = gc.floor_first,
					      .held_last = gc.floor_last };
	}
	*hashmap_get_or_add(&r->gc.by_index, 1) = 1;
	assert_true(heap_add_state(&r->heap, 1, 7, 1, &layout, true) >= 0);
	assert_int_equal(vec_push(&r->gc.states, gc), 0);
	for (uint32_t p = 0; p < N_PLACES; p++) {
		uint64_t *at = hashmap_get_or_add(&r->heap.stacks.site_of, p + 1);

		assert_non_null(at);
		assert_int_equal(vec_push(&r->heap.sites, (struct heap_site){ .kind = KIND_TABLE }),
				 0);
		*at = r->heap.sites.n;
	}
	for (uint32_t w = 0; w < r->windows; w++)
		open_window(r, cycle_of(w));
	take_census(r);
	heap_set_gc(&r->heap, 1, 1ull << 40, r->rare ? 0 : cycle_of(r->windows));
	st = heap_find_state(&r->heap, 1);
	st->rare = r->rare;
	st->turns = r->rare ? cycle_of(r->windows) : 0;
	st->censuses = 2;
	estimate_apply(&r->e, &r->heap, &r->gc, SCALE, 30);
}

static void done(struct run *r)
{
	estimate_deinit(&r->e);
	vec_deinit(&r->gc.states);
	hashmap_deinit(&r->gc.by_index);
	heap_deinit(&r->heap);
}

static uint32_t steadily(uint32_t window)
{
	return window;
}

/*
 * A heap that doubles from collection to collection: 3 of 60 windows are older than enough of
 * them.
 */
static uint32_t ever_more_rarely(uint32_t window)
{
	uint32_t cycles = 0;

	while (2u << cycles <= window + 1)
		cycles++;
	return cycles;
}

static void assert_only_leak(const struct run *r)
{
	assert_int_equal(r->heap.sites.v[LEAKS].verdict, VERDICT_LEAK);
	for (int p = GARBAGE; p < N_PLACES; p++)
		assert_true(r->heap.sites.v[p].verdict < VERDICT_LEAK);
}

static void only_the_leak_is_one(void **state)
{
	struct run r = { 0 };

	(void)state;
	judge(&r, steadily, 200);
	assert_only_leak(&r);
	assert_int_equal(r.heap.sites.v[GARBAGE].live_bytes, 0);
	assert_int_equal(r.heap.sites.v[RING].verdict, VERDICT_STABLE);
	assert_in_range(r.heap.sites.v[LEAKS].live_bytes, WINDOWS * BIRTHS * SIZE * 40,
			WINDOWS * BIRTHS * SIZE * 50);
	done(&r);
}

static void a_leak_that_doubles_the_heap_is_found_too(void **state)
{
	struct run r = { 0 };

	(void)state;
	judge(&r, ever_more_rarely, 800);
	assert_only_leak(&r);
	done(&r);
}

/* With the collector stopped, say: only what censuses find held counts. */
static void a_leak_is_found_without_any_collection(void **state)
{
	struct run r = { .rare = true };

	(void)state;
	judge(&r, steadily, 130);
	assert_only_leak(&r);
	/* that were taken, not made up */
	assert_int_equal(r.heap.sites.v[LEAKS].survived_cycles, 2);
	done(&r);
	r = (struct run){ .rare = true };
	judge(&r, steadily, 102);
	assert_true(r.heap.sites.v[LEAKS].verdict < VERDICT_GROWING);
	done(&r);
}

/*
 * Where the ledger is whole it keeps its numbers, and its verdicts unless the collector hardly
 * runs.
 */
static void a_whole_ledger_takes_the_verdict_only(void **state)
{
	struct run r = { .rare = true };

	(void)state;
	r.e.only_rare = true;
	judge(&r, steadily, 130);
	assert_only_leak(&r);
	assert_int_equal(r.heap.sites.v[LEAKS].live_bytes, 0);
	done(&r);
	r = (struct run){ .e.only_rare = true };
	judge(&r, steadily, 130);
	assert_int_equal(r.heap.sites.v[LEAKS].verdict, VERDICT_YOUNG);
	done(&r);
}

/* Short strings are chained in the table of all strings, functions in the collector's lists. */
static void a_link_may_change_in_what_lives(void **state)
{
	(void)state;
	for (uint32_t loose = 0; loose <= 24; loose += 8) {
		for (int word = 0; word < 5; word++) {
			struct estimate e = { .windows = 0 };
			struct snapshot_site s = { .index = 1,
						   .state = 1,
						   .live_blocks = 1,
						   .live_bytes = 40,
						   .sample_uaddr = { 0x1000 } };

			assert_int_equal(estimate_count(&e, &s), 0);
			assert_int_equal(estimate_add(&e, &s, loose, 0, &reader), 0);
			estimate_close_window(&e);
			changed_word = word;
			estimate_check(&e, &reader);
			changed_word = -1;
			assert_int_equal(e.samples.v[0].changed,
					 word != 0 && word * 8 != (int)loose);
			estimate_deinit(&e);
		}
	}
}

/* What stands between remembered objects in the list, though nothing of it is remembered. */
static void a_window_is_as_large_as_all_that_it_left(void **state)
{
	struct snapshot_site known = { .index = 1, .state = 1, .live_blocks = 10, .live_bytes = 640,
				       .sample_uaddr = { 0x1000 } };
	struct snapshot_site unknown = {
		.index = 2, .state = 1, .live_blocks = 90, .live_bytes = 5760
	};
	struct snapshot_site other = {
		.index = 3, .state = 2, .live_blocks = 500, .live_bytes = 32000
	};
	struct estimate e = { 0 };

	(void)state;
	assert_int_equal(estimate_count(&e, &known), 0);
	assert_int_equal(estimate_add(&e, &known, 0, 0, &reader), 0);
	assert_int_equal(estimate_count(&e, &unknown), 0);
	assert_int_equal(estimate_count(&e, &other), 0);
	estimate_close_window(&e);
	assert_int_equal(e.samples.n, 1);
	assert_int_equal(e.samples.v[0].survivors, 100);
	estimate_deinit(&e);
}

/* More samples than are kept: those of old and of new windows must weigh the same. */
static void a_long_trace_says_the_same(void **state)
{
	(void)state;
	for (uint32_t windows = 100; windows < 2000; windows += 117) {
		struct run r = { .windows = windows };

		judge(&r, steadily, 200);
		assert_true(r.e.thinned > 0);
		/* …and a window is known to be as large as it was, however few of it are left. */
		assert_in_range(r.e.samples.v[r.e.samples.n - 1].survivors, (N_PLACES - 1) * BIRTHS,
				N_PLACES * BIRTHS);
		assert_only_leak(&r);
		assert_in_range(r.heap.sites.v[LEAKS].live_bytes, windows * BIRTHS * SIZE * 30,
				windows * BIRTHS * SIZE * 70);
		done(&r);
	}
}

static void nothing_leaks_in_a_heap_that_does_not_grow(void **state)
{
	struct run r = { 0 };

	(void)state;
	judge(&r, steadily, 101);
	for (int p = LEAKS; p < N_PLACES; p++)
		assert_true(r.heap.sites.v[p].verdict <= VERDICT_STABLE);
	done(&r);
}

static void no_more_is_alive_than_the_heap_is_big(void **state)
{
	struct run r = { 0 };
	uint64_t sum = 0;

	(void)state;
	judge(&r, steadily, 200);
	heap_set_gc(&r.heap, 1, 1 << 20, WINDOWS);
	estimate_apply(&r.e, &r.heap, &r.gc, SCALE, 30);
	vec_each(s, &r.heap.sites)
		sum += s->live_bytes;
	assert_in_range(sum, 1000000, 1 << 20);
	done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_leak_is_one),
		cmocka_unit_test(a_leak_that_doubles_the_heap_is_found_too),
		cmocka_unit_test(a_leak_is_found_without_any_collection),
		cmocka_unit_test(a_whole_ledger_takes_the_verdict_only),
		cmocka_unit_test(a_link_may_change_in_what_lives),
		cmocka_unit_test(a_window_is_as_large_as_all_that_it_left),
		cmocka_unit_test(a_long_trace_says_the_same),
		cmocka_unit_test(nothing_leaks_in_a_heap_that_does_not_grow),
		cmocka_unit_test(no_more_is_alive_than_the_heap_is_big),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
