/* SPDX-License-Identifier: MIT */
/* heap: snapshots become states, sites and trends whose sums agree. */
#include "unit.h"

#include "heap/heap.h"

enum { INDEX_PROCESS = 1, INDEX_A = 2, INDEX_B = 3 };

struct fixture {
	struct heap heap;
	struct snapshot snap;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const struct layout *l54 = layouts_find("lua-5.4.3..5.4.8");

	assert_non_null(l54);
	assert_int_equal(heap_add_state(&f->heap, INDEX_PROCESS, 100, 0, NULL, true), 0);
	assert_int_equal(heap_add_state(&f->heap, INDEX_A, 100, 1, &l54->l, true), 1);
	assert_int_equal(heap_add_state(&f->heap, INDEX_B, 100, 1, &l54->l, false), 2);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	heap_deinit(&f->heap);
	snapshot_deinit(&f->snap);
	free(f);
	return 0;
}

static void line(struct heap *h, uint32_t site, uint32_t where, bool approx)
{
	struct frame f = { .where = where, .approx = approx };

	assert_int_equal(heap_set_frame(h, site, &f), 0);
}

/* Live blocks of one BPF site, in the snapshot's site and state. */
static struct snapshot_site *live(struct snapshot *s, uint32_t site, uint32_t state, uint32_t tag,
				  uint64_t bytes, uint64_t blocks, uint64_t old)
{
	struct snapshot_site row = { .index = site, .state = state, .live_bytes = bytes,
				     .live_blocks = blocks, .old.bytes = { old },
				     .old.blocks = { old ? blocks : 0 },
				     .survived_cycles = old ? COHORT_CYCLES : 0 };

	row.site.tag = tag;
	row.site.state = state;
	row.site.allocs = blocks;
	row.site.alloc_bytes = bytes;
	assert_int_equal(vec_push(&s->sites, row), 0);
	vec_each(st, &s->states)
		if (st->index == state) {
			st->live_bytes += bytes;
			st->live_blocks += blocks;
			return &s->sites.v[s->sites.n - 1];
		}
	assert_int_equal(vec_push(&s->states, (struct snapshot_state){ .index = state,
								      .live_bytes = bytes,
								      .live_blocks = blocks }), 0);
	return &s->sites.v[s->sites.n - 1];
}

static void clear(struct snapshot *s)
{
	s->sites.n = s->states.n = 0;
}

static void states_get_numbers_but_processes_do_not(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(heap_find_state(&f->heap, INDEX_PROCESS)->number, 0);
	assert_int_equal(heap_find_state(&f->heap, INDEX_A)->number, 1);
	assert_int_equal(heap_find_state(&f->heap, INDEX_B)->number, 2);
	assert_null(heap_find_state(&f->heap, 99));
	assert_null(heap_find_state(&f->heap, 0));
}

static void sites_of_one_line_and_kind_become_one(void **state)
{
	struct fixture *f = *state;

	line(&f->heap, 10, 7, false);
	line(&f->heap, 11, 7, false);
	live(&f->snap, 10, INDEX_A, 5, 100, 2, 60);
	live(&f->snap, 11, INDEX_A, 5, 50, 1, 0);
	assert_int_equal(heap_apply(&f->heap, &f->snap), 0);
	assert_int_equal(f->heap.sites.n, 1);
	assert_int_equal(f->heap.sites.v[0].kind, KIND_TABLE);
	assert_int_equal(f->heap.sites.v[0].live_bytes, 150);
	assert_int_equal(f->heap.sites.v[0].live_blocks, 3);
	assert_int_equal(f->heap.sites.v[0].old_bytes, 60);
	assert_int_equal(f->heap.sites.v[0].allocs, 3);
	assert_int_equal(f->heap.sites.v[0].survived_cycles, COHORT_CYCLES);
	heap_check(&f->heap);
}

static void line_kind_state_below_and_approx_keep_sites_apart(void **state)
{
	struct fixture *f = *state;

	line(&f->heap, 10, 7, false);
	line(&f->heap, 11, 8, false);
	line(&f->heap, 12, 7, true);
	live(&f->snap, 10, INDEX_A, 5, 1, 1, 0);
	live(&f->snap, 11, INDEX_A, 5, 2, 1, 0); /* line */
	live(&f->snap, 10, INDEX_A, 4, 4, 1, 0); /* kind */
	live(&f->snap, 10, INDEX_B, 5, 8, 1, 0); /* state */
	live(&f->snap, 12, INDEX_A, 5, 16, 1, 0); /* approx */
	live(&f->snap, 10, INDEX_A, 5, 32, 1, 0)->site.flags = LMT_SITE_BELOW;
	live(&f->snap, 0, INDEX_PROCESS, 0, 64, 1, 0); /* nobody's */
	assert_int_equal(heap_apply(&f->heap, &f->snap), 0);
	assert_int_equal(f->heap.sites.n, 7);
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(f->heap.sites.v[i].live_bytes, 1u << i);
	heap_check(&f->heap);
}

static void what_is_freed_is_gone_from_the_next_snapshot(void **state)
{
	struct fixture *f = *state;

	line(&f->heap, 10, 7, false);
	live(&f->snap, 10, INDEX_A, 5, 100, 2, 0);
	assert_int_equal(heap_apply(&f->heap, &f->snap), 0);
	clear(&f->snap);
	live(&f->snap, 10, INDEX_A, 5, 0, 0, 0);
	assert_int_equal(heap_apply(&f->heap, &f->snap), 0);
	assert_int_equal(f->heap.sites.n, 1);
	assert_int_equal(f->heap.sites.v[0].live_bytes, 0);
	assert_int_equal(f->heap.sites.v[0].survived_cycles, 0);
	assert_int_equal(heap_find_state(&f->heap, INDEX_A)->live_bytes, 0);
	heap_check(&f->heap);
}

static void blocks_of_a_state_whose_birth_is_not_known_wait(void **state)
{
	struct fixture *f = *state;
	const struct layout *l54 = layouts_find("lua-5.4.3..5.4.8");

	live(&f->snap, 10, 50, 5, 100, 2, 0);
	assert_int_equal(heap_apply(&f->heap, &f->snap), 0);
	assert_int_equal(f->heap.sites.n, 0);
	assert_int_equal(heap_add_state(&f->heap, 50, 100, 1, &l54->l, false), 3);
	assert_int_equal(heap_apply(&f->heap, &f->snap), 0);
	assert_int_equal(f->heap.sites.n, 1);
	heap_check(&f->heap);
}

/* A snapshot of both lines: blocks left of each stretch of the trace. */
static void apply_left(struct fixture *f, uint32_t cycle, uint64_t (*a)(uint32_t),
		       uint64_t (*b)(uint32_t))
{
	struct snapshot_site *sites;

	clear(&f->snap);
	f->snap.end_ns = cycle * 1000000000ull;
	live(&f->snap, 10, INDEX_A, 5, 100000, 1000, 0);
	live(&f->snap, 11, INDEX_A, 5, 500000, 5000, 0);
	sites = f->snap.sites.v;
	for (uint32_t i = 0; i < COHORTS; i++) {
		sites[0].old.blocks[i] = a(i);
		sites[0].old.bytes[i] = a(i) * 100;
		sites[1].old.blocks[i] = b(i);
		sites[1].old.bytes[i] = b(i) * 100;
	}
	f->snap.states.v[0].age = (struct age_window){
		.known = cycle > COHORT_CYCLES, .cycle = cycle - COHORT_CYCLES,
		.cycles = cycle - COHORT_CYCLES, .certified = COHORTS, .work = 10000, .share = 1,
		.settled = true, .edge_ms = { [COHORTS] = 2000 },
	};
	heap_set_gc(&f->heap, INDEX_A, 1 << 20, cycle);
	assert_int_equal(heap_apply(&f->heap, &f->snap), 0);
	assert_int_equal(f->heap.sites.v[0].survived_cycles, 0);
}

static uint64_t leak(uint32_t i)
{
	(void)i;
	return 80;
}

static uint64_t cache(uint32_t i)
{
	return i < 5 ? 1000 : 0;
}

static void the_leaking_line_is_told_from_the_cache_beside_it(void **state)
{
	struct fixture *f = *state;

	line(&f->heap, 10, 7, false);
	line(&f->heap, 11, 8, false);
	apply_left(f, 3, leak, cache);
	assert_int_equal(f->heap.sites.v[0].verdict, VERDICT_YOUNG);
	apply_left(f, 5, leak, cache);
	assert_int_equal(f->heap.sites.v[0].verdict, VERDICT_GROWING);
	apply_left(f, 20, leak, cache);
	assert_int_equal(f->heap.sites.v[0].verdict, VERDICT_LEAK);
	assert_true(f->heap.sites.v[0].growth_bytes_per_s == 80 * 100 * COHORTS / 2);
	assert_int_equal(f->heap.sites.v[1].verdict, VERDICT_STABLE);
	assert_true(f->heap.sites.v[1].live_bytes > f->heap.sites.v[0].live_bytes);
}

static void what_predates_the_attach_is_noted_once(void **state)
{
	struct fixture *f = *state;

	heap_set_gc(&f->heap, INDEX_A, 5000, 1);
	heap_set_gc(&f->heap, INDEX_A, 9000, 2);
	heap_set_gc(&f->heap, INDEX_B, 7000, 1);
	heap_set_gc(&f->heap, 99, 7000, 1); /* nobody */
	assert_int_equal(heap_find_state(&f->heap, INDEX_A)->heap_at_attach, 5000);
	assert_int_equal(heap_find_state(&f->heap, INDEX_A)->heap_bytes, 9000);
	assert_int_equal(heap_find_state(&f->heap, INDEX_B)->heap_at_attach, 0);
	assert_int_equal(heap_find_state(&f->heap, INDEX_A)->gc_cycles, 2);
}

static void a_closing_or_dead_state_is_closed(void **state)
{
	struct fixture *f = *state;
	struct snapshot_state s = { .index = INDEX_A };

	s.st.flags = LMT_STATE_USED;
	assert_int_equal(vec_push(&f->snap.states, s), 0);
	assert_int_equal(heap_apply(&f->heap, &f->snap), 0);
	assert_false(heap_find_state(&f->heap, INDEX_A)->closed);
	f->snap.states.v[0].st.flags |= LMT_STATE_CLOSING;
	assert_int_equal(heap_apply(&f->heap, &f->snap), 0);
	assert_true(heap_find_state(&f->heap, INDEX_A)->closed);
	f->snap.states.v[0].st.flags = LMT_STATE_USED | LMT_STATE_DEAD;
	assert_int_equal(heap_apply(&f->heap, &f->snap), 0);
	assert_true(heap_find_state(&f->heap, INDEX_A)->closed);
}

static enum block_kind kind_after(struct heap *h, uint32_t site, const enum block_kind *looks,
				  size_t n)
{
	struct heap_state *st = heap_find_state(h, INDEX_A);

	for (size_t i = 0; i < n; i++)
		assert_int_equal(heap_set_kind(h, site, looks[i]), 0);
	return heap_kind(h, st, site, LMT_TAG_OTHER);
}

static void what_later_blocks_are_corrects_the_first(void **state)
{
	static const enum block_kind once[] = { KIND_CDATA, KIND_TABLE, KIND_TABLE, KIND_BUFFER },
				     twice[] = { KIND_CDATA, KIND_CDATA, KIND_TABLE },
				     load[] = { KIND_STRING, KIND_STRING, KIND_FUNCTION, KIND_PROTO,
						KIND_STRING, KIND_FUNCTION };
	struct fixture *f = *state;

	assert_int_equal(kind_after(&f->heap, 10, once, 4), KIND_TABLE);
	assert_int_equal(kind_after(&f->heap, 11, twice, 3), KIND_CDATA);
	assert_int_equal(kind_after(&f->heap, 12, load, 6), KIND_PROTO);
}

static void a_site_whose_tag_does_not_tell_is_named_by_its_blocks(void **state)
{
	struct fixture *f = *state;
	struct snapshot_site *s;

	line(&f->heap, 10, 7, false);
	s = live(&f->snap, 10, INDEX_A, LMT_TAG_OTHER, 100, 2, 0);
	assert_true(heap_needs_kind(&f->heap, s));
	assert_int_equal(heap_set_kind(&f->heap, 10, KIND_UNKNOWN), 0);
	assert_int_equal(heap_set_kind(&f->heap, 10, KIND_BUFFER), 0);
	assert_true(heap_needs_kind(&f->heap, s));
	assert_int_equal(heap_set_kind(&f->heap, 10, KIND_TABLE), 0);
	assert_true(heap_needs_kind(&f->heap, s)); /* once is not enough */
	assert_int_equal(heap_set_kind(&f->heap, 10, KIND_TABLE), 0);
	assert_false(heap_needs_kind(&f->heap, s));
	/* its parts do not rename it */
	assert_int_equal(heap_set_kind(&f->heap, 10, KIND_BUFFER), 0);
	assert_int_equal(heap_apply(&f->heap, &f->snap), 0);
	assert_int_equal(f->heap.sites.v[0].kind, KIND_TABLE);
	s = live(&f->snap, 11, INDEX_A, 5, 100, 2, 0); /* the tag tells */
	assert_false(heap_needs_kind(&f->heap, s));
	s = live(&f->snap, 12, INDEX_PROCESS, LMT_TAG_OTHER, 100, 2, 0); /* no layout */
	assert_false(heap_needs_kind(&f->heap, s));
}

#define HEAP_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEAP_TEST(states_get_numbers_but_processes_do_not),
		HEAP_TEST(sites_of_one_line_and_kind_become_one),
		HEAP_TEST(line_kind_state_below_and_approx_keep_sites_apart),
		HEAP_TEST(what_is_freed_is_gone_from_the_next_snapshot),
		HEAP_TEST(blocks_of_a_state_whose_birth_is_not_known_wait),
		HEAP_TEST(the_leaking_line_is_told_from_the_cache_beside_it),
		HEAP_TEST(what_predates_the_attach_is_noted_once),
		HEAP_TEST(a_closing_or_dead_state_is_closed),
		HEAP_TEST(a_site_whose_tag_does_not_tell_is_named_by_its_blocks),
		HEAP_TEST(what_later_blocks_are_corrects_the_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
