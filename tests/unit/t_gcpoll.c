/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "block.h"
#include "collect/gcpoll.h"

#define G 0x1000
#define L_BYTES 512

struct fixture {
	struct gcpoll poll;
	const struct lmt_layout *l;
	struct memread mem;
	uint8_t block[L_BYTES + 160]; /* global_State behind the main thread */
	uint8_t *g;
	struct lmt_state entry[2];
	uint64_t ms;
};

static size_t read_g(void *ctx, uint64_t uaddr, void *buf, size_t len)
{
	const struct fixture *f = ctx;

	if (uaddr < G - L_BYTES || uaddr - (G - L_BYTES) + len > sizeof(f->block))
		return 0;
	memcpy(buf, f->block + (uaddr - (G - L_BYTES)), len);
	return len;
}

static void set(struct fixture *f, int at, uint64_t v)
{
	memcpy(f->g + at, &v, sizeof(v));
}

static int link_at(const struct fixture *f)
{
	return f->l->L_glob.off - f->l->g_minus_L.off;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->l = &layouts_find("lua-5.1..5.1.5")->l;
	f->mem = (struct memread){ .ctx = f, .read = read_g };
	f->g = f->block + L_BYTES;
	f->g[f->l->G_white.off] = 1;
	set(f, f->l->G_total.off, 20000);
	set(f, link_at(f), G);
	assert_int_equal(gcpoll_add(&f->poll, 1, G, f->l, &f->mem), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	gcpoll_deinit(&f->poll);
	free(f);
	return 0;
}

/* So many collections begin, so many flips are done, then it is polled: the cycles known. */
static uint32_t after(struct fixture *f, uint32_t fulls, uint32_t flips)
{
	f->entry[1].gc_cycle += fulls;
	if (flips % 2)
		f->g[f->l->G_white.off] ^= 3;
	f->entry[1].allocs++;
	gcpoll_run(&f->poll, f->entry, 2, f->ms += 20);
	assert_int_equal(f->entry[1].gc_cycle, f->poll.states.v[0].cycles);
	return f->poll.states.v[0].cycles;
}

static void steps_are_counted_by_their_flips(void **state)
{
	assert_int_equal(after(*state, 0, 1), 1);
	assert_int_equal(after(*state, 0, 0), 1);
	assert_int_equal(after(*state, 0, 1), 2);
}

static void full_collections_in_pairs_are_all_counted(void **state)
{
	assert_int_equal(after(*state, 2, 2), 2);
	assert_int_equal(after(*state, 2, 2), 4);
	assert_int_equal(after(*state, 3, 3), 7);
	assert_int_equal(after(*state, 50, 50), 57);
	assert_int_equal(after(*state, 0, 0), 57);
}

static void one_that_only_began_counts_once(void **state)
{
	assert_int_equal(after(*state, 1, 0), 1);
	assert_int_equal(after(*state, 0, 1), 1);
	assert_int_equal(after(*state, 2, 1), 3);
	assert_int_equal(after(*state, 1, 2), 4);
	assert_int_equal(after(*state, 0, 1), 5);
}

static uint64_t heap_now(struct fixture *f)
{
	f->entry[1].allocs++;
	gcpoll_run(&f->poll, f->entry, 2, f->ms += 20);
	return f->poll.states.v[0].gc.heap_bytes;
}

static void memory_that_is_another_s_is_not_believed(void **state)
{
	struct fixture *f = *state;

	set(f, f->l->G_total.off, 30000);
	assert_int_equal(heap_now(f), 30000);
	set(f, f->l->G_total.off, 0xccd6000000000000);
	assert_int_equal(heap_now(f), 30000);
	assert_true(f->poll.states.v[0].gone);
}

static void a_state_that_is_no_more_is_gone(void **state)
{
	struct fixture *f = *state;

	set(f, f->l->G_total.off, 30000);
	set(f, link_at(f), 0x2000);
	assert_int_equal(heap_now(f), 20000);
	assert_true(f->poll.states.v[0].gone);
}

static void a_closing_state_says_nothing(void **state)
{
	struct fixture *f = *state;

	set(f, f->l->G_total.off, 30000);
	f->entry[1].flags |= LMT_STATE_CLOSING;
	assert_int_equal(heap_now(f), 20000);
	assert_true(f->poll.states.v[0].gone);
}

static void a_state_that_is_being_made_is_waited_for(void **state)
{
	struct fixture *f = *state;

	set(f, link_at(f), 0);
	f->poll.states.v[0].built = false;
	heap_now(f);
	assert_false(f->poll.states.v[0].gone);
	set(f, link_at(f), G);
	set(f, f->l->G_total.off, 40000);
	assert_int_equal(heap_now(f), 40000);
	assert_int_equal(f->poll.states.v[0].cycles, 0);
}

static void no_poll_counts_more_than_there_were(void **state)
{
	struct fixture *f = *state;
	uint32_t began = 0, done = 0, steps = 0;

	srand(1);
	for (int i = 0; i < 10000; i++) {
		uint32_t fulls = (uint32_t)rand() % 4, step = (uint32_t)rand() % 2;
		uint32_t finished = began - done + fulls - (fulls && rand() % 2);
		uint32_t known;

		began += fulls;
		done += finished;
		steps += step;
		known = after(f, fulls, finished + step);
		assert_true(known >= began && known <= began + steps);
	}
}

#define POLL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		POLL_TEST(steps_are_counted_by_their_flips),
		POLL_TEST(full_collections_in_pairs_are_all_counted),
		POLL_TEST(one_that_only_began_counts_once),
		POLL_TEST(memory_that_is_another_s_is_not_believed),
		POLL_TEST(a_state_that_is_no_more_is_gone),
		POLL_TEST(a_closing_state_says_nothing),
		POLL_TEST(a_state_that_is_being_made_is_waited_for),
		POLL_TEST(no_poll_counts_more_than_there_were),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
