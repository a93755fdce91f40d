/* SPDX-License-Identifier: MIT */
/* Stacks: one id for the same frames; a site's exact numbers divided among its stacks. */
#include "unit.h"

#include "collect/stackdb.h"
#include "heap/heap.h"

static void the_same_frames_are_one_stack(void **state)
{
	struct stack_frame f[] = { { .where = 1, .kind = STACK_LUA },
				   { .where = 2, .kind = STACK_LUA },
				   { .native = 3, .kind = STACK_NATIVE } };
	struct stackdb db = { .nodes = { 0 } };
	uint32_t a = stackdb_add(&db, f, 3), b = stackdb_add(&db, f, 3), out[8];

	(void)state;
	assert_int_not_equal(a, 0);
	assert_int_equal(a, b);
	assert_int_equal(stackdb_add(&db, f, 0), 0);
	assert_int_equal(stackdb_frames(&db, a, out, 8), 3);
	assert_int_equal(db.frames.v[out[0]].where, 1);
	assert_int_equal(db.frames.v[out[2]].native, 3);
	f[0].flags = STACK_APPROX;
	assert_int_not_equal(stackdb_add(&db, f, 3), a);
	assert_int_equal(db.frames.n, 4); /* the two callers are shared */
	assert_int_equal(db.nodes.n, 4);
	assert_int_equal(stackdb_frames(&db, a, out, 2), 2);
	assert_int_equal(stackdb_frames(&db, 99, out, 8), 0);
	stackdb_deinit(&db);
}

enum { PLACE = 5, STACK_A = 1000, STACK_B = 1001, STATE = 2 };

struct fixture {
	struct heap heap;
	struct snapshot snap;
};

static void setup(struct fixture *f)
{
	struct snapshot_site site = { .index = PLACE, .state = STATE, .live_bytes = 1001,
				      .live_blocks = 7, .old = { .bytes = { 999 } },
				      .site = { .allocs = 13, .alloc_bytes = 4003 } };
	struct snapshot_state st = { .index = STATE, .live_bytes = 1001, .live_blocks = 7 };
	struct frame frame = { .where = 77 };

	*f = (struct fixture){ .snap = { .end_ns = 1 } };
	assert_true(heap_add_state(&f->heap, STATE, 1, 1, &layouts_find("lua-5.4.3..5.4.8")->l, true) >= 0);
	assert_int_equal(heap_set_frame(&f->heap, PLACE, &frame), 0);
	assert_int_equal(vec_push(&f->snap.states, st), 0);
	assert_int_equal(vec_push(&f->snap.sites, site), 0);
}

static void add_stack(struct fixture *f, uint32_t index, uint32_t stack, double live, double alloc)
{
	struct snapshot_stack s = { .index = index,
				    .place = PLACE,
				    .samples = 3,
				    .allocs = alloc / 10,
				    .alloc_bytes = alloc,
				    .alloc_variance = alloc,
				    .live_bytes = live,
				    .live_blocks = live / 10,
				    .live_variance = live };

	assert_int_equal(heap_set_stack(&f->heap, index, stack), 0);
	assert_int_equal(vec_push(&f->snap.stacks, s), 0);
}

static void teardown(struct fixture *f)
{
	heap_deinit(&f->heap);
	snapshot_deinit(&f->snap);
}

static void shares_add_up_to_the_exact_numbers(void **state)
{
	struct heap_share *shares, sum = { 0 };
	struct fixture f;

	(void)state;
	setup(&f);
	add_stack(&f, STACK_A, 11, 300, 1000);
	add_stack(&f, STACK_B, 12, 700, 3000);
	assert_int_equal(heap_apply(&f.heap, &f.snap), 0);
	assert_int_equal(heap_share(&f.heap, 0, &shares), 2);
	assert_int_equal(shares[0].stack, 12); /* the biggest first */
	assert_int_equal(shares[0].live_bytes, 701);
	assert_int_equal(shares[1].live_bytes, 300);
	for (int i = 0; i < 2; i++) {
		sum.live_bytes += shares[i].live_bytes;
		sum.live_blocks += shares[i].live_blocks;
		sum.old_bytes += shares[i].old_bytes;
		sum.allocs += shares[i].allocs;
		sum.alloc_bytes += shares[i].alloc_bytes;
		assert_true(shares[i].error_pct > 0);
	}
	assert_int_equal(sum.live_bytes, 1001);
	assert_int_equal(sum.live_blocks, 7);
	assert_int_equal(sum.old_bytes, f.heap.sites.v[0].old_bytes);
	assert_int_equal(sum.allocs, 13);
	assert_int_equal(sum.alloc_bytes, 4003);
	free(shares);
	teardown(&f);
}

static void what_is_not_sampled_shows_its_first_stack(void **state)
{
	struct heap_share *shares;
	struct fixture f;

	(void)state;
	setup(&f);
	assert_int_equal(heap_set_stack(&f.heap, PLACE, 42), 0);
	assert_int_equal(heap_apply(&f.heap, &f.snap), 0);
	assert_int_equal(heap_share(&f.heap, 0, &shares), 1);
	assert_int_equal(shares[0].stack, 42);
	assert_int_equal(shares[0].samples, 0);
	assert_int_equal(shares[0].live_bytes, 1001);
	free(shares);
	teardown(&f);
}

static void a_stack_that_keeps_nothing_has_nothing_live(void **state)
{
	struct heap_share *shares;
	struct fixture f;

	(void)state;
	setup(&f);
	add_stack(&f, STACK_A, 11, 0, 3000);
	add_stack(&f, STACK_B, 12, 500, 1000);
	assert_int_equal(heap_apply(&f.heap, &f.snap), 0);
	assert_int_equal(heap_share(&f.heap, 0, &shares), 2);
	assert_int_equal(shares[0].stack, 12);
	assert_int_equal(shares[0].live_bytes, 1001);
	assert_int_equal(shares[1].live_bytes, 0);
	assert_in_range(shares[1].alloc_bytes, 3001, 3003);
	free(shares);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_frames_are_one_stack),
		cmocka_unit_test(shares_add_up_to_the_exact_numbers),
		cmocka_unit_test(what_is_not_sampled_shows_its_first_stack),
		cmocka_unit_test(a_stack_that_keeps_nothing_has_nothing_live),
	};

	return cmocka_run_group_tests_name("stacks", tests, NULL, NULL);
}
