/* SPDX-License-Identifier: MIT */
/* bpf/ledger.bpf.h compiled for the host: what is put is taken, and what is refused is told. */
#include "vmlinux.h" /* first: it has its own bool */

#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#include "ledger.bpf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define SLOT 3

static struct lmt_bucket *buckets;
static __u32 n_buckets;

/* As user space does before load: config is read-only for the programs. */
static void set_config(__u32 mask)
{
	struct lmt_config *c = (struct lmt_config *)(uintptr_t)&config;
	uintptr_t page = (uintptr_t)c & ~(uintptr_t)4095, end = (uintptr_t)(c + 1);

	assert_int_equal(mprotect((void *)page, end - page, PROT_READ | PROT_WRITE), 0);
	c->bucket_mask = mask;
}

static void make_table(__u32 n)
{
	free(buckets);
	buckets = calloc(n, sizeof(*buckets));
	assert_non_null(buckets);
	n_buckets = n;
	fake_map(&blocks, buckets, sizeof(*buckets), n);
	set_config(n - 1);
}

/* Entries 2 and 4 are arenas, 3 is not. */
static struct lmt_state all_states[5];

static int setup(void **state)
{
	(void)state;
	make_table(64);
	memset(all_states, 0, sizeof(all_states));
	all_states[2].flags = all_states[4].flags = LMT_STATE_USED | LMT_STATE_ARENA;
	all_states[3].flags = LMT_STATE_USED;
	fake_map(&states, all_states, sizeof(all_states[0]), 5);
	return 0;
}

static __u64 key_of(__u64 addr)
{
	return LMT_KEY(SLOT, addr);
}

static struct lmt_block block_of(__u64 size)
{
	return (struct lmt_block){ .size_tags = size, .site = 1, .state = 2, .born = size * 3 };
}

static int put(__u64 addr, __u64 size)
{
	struct lmt_block b = block_of(size);

	return ledger_put(key_of(addr), &b);
}

/* Size of the block that was at the address; 0 when there was none. */
static __u64 take(__u64 addr)
{
	struct lmt_block b = { 0 };

	if (!ledger_take(key_of(addr), &b))
		return 0;
	assert_int_equal(b.born, LMT_BLOCK_SIZE(&b) * 3); /* no parts of two blocks */
	return LMT_BLOCK_SIZE(&b);
}

static unsigned int keys_in_table(void)
{
	unsigned int n = 0;

	for (__u32 i = 0; i < n_buckets; i++)
		for (int k = 0; k < LMT_BUCKET_SLOTS; k++) {
			assert_int_equal(buckets[i].key[k] & LMT_KEY_BUSY, 0);
			n += buckets[i].key[k] != 0;
		}
	return n;
}

static void what_is_put_is_taken_once(void **state)
{
	(void)state;
	assert_int_equal(put(0x1000, 40), LEDGER_NEW);
	assert_int_equal(keys_in_table(), 1);
	assert_int_equal(take(0x1000), 40);
	assert_int_equal(take(0x1000), 0);
	assert_int_equal(keys_in_table(), 0);
}

static void an_address_belongs_to_its_process(void **state)
{
	struct lmt_block b = block_of(7), out;

	(void)state;
	assert_int_equal(ledger_put(LMT_KEY(1, 0x1000), &b), LEDGER_NEW);
	assert_int_equal(ledger_take(LMT_KEY(2, 0x1000), &out), 0);
	assert_int_equal(ledger_take(LMT_KEY(1, 0x1000), &out), 1);
}

static void a_failed_realloc_puts_the_old_block_back(void **state)
{
	struct lmt_block old;

	(void)state;
	put(0x2000, 100);
	put(0x2020, 5);
	assert_int_equal(ledger_take(key_of(0x2000), &old), 1);
	assert_int_equal(ledger_put(key_of(0x2000), &old), LEDGER_NEW);
	assert_int_equal(take(0x2000), 100);
	assert_int_equal(take(0x2020), 5);
}

static void a_stale_block_is_replaced_not_doubled(void **state)
{
	(void)state;
	assert_int_equal(put(0x3000, 10), LEDGER_NEW);
	assert_int_equal(put(0x3000, 20), LEDGER_REPLACED);
	assert_int_equal(keys_in_table(), 1);
	assert_int_equal(take(0x3000), 20);
	assert_int_equal(take(0x3000), 0);
}

/* In any bucket, whatever stands beside it, and with free places before it. */
static void a_stale_block_is_found_in_a_crowded_bucket(void **state)
{
	(void)state;
	make_table(1);
	for (__u64 i = 1; i <= LMT_BUCKET_SLOTS; i++)
		assert_int_equal(put(i * 4096, i), LEDGER_NEW);
	assert_int_equal(take(4096), 1);
	assert_int_equal(put(8 * 4096, 80), LEDGER_REPLACED);
	assert_int_equal(keys_in_table(), LMT_BUCKET_SLOTS - 1);
	assert_int_equal(take(8 * 4096), 80);
	assert_int_equal(take(8 * 4096), 0);
}

static void a_full_table_refuses_and_recovers(void **state)
{
	(void)state;
	make_table(1); /* both choices are the same bucket */
	for (__u64 i = 1; i <= LMT_BUCKET_SLOTS; i++)
		assert_int_equal(put(i * 4096, i), LEDGER_NEW);
	assert_int_equal(put(99 * 4096, 99), LEDGER_FULL);
	assert_int_equal(put(100 * 4096, 100), LEDGER_FULL);
	assert_int_equal(keys_in_table(), LMT_BUCKET_SLOTS);
	assert_int_equal(take(99 * 4096), 0); /* refused is not recorded */
	for (__u64 i = 1; i <= LMT_BUCKET_SLOTS; i++)
		assert_int_equal(take(i * 4096), i); /* nobody else was hurt */
	assert_int_equal(put(99 * 4096, 99), LEDGER_NEW);
	assert_int_equal(take(99 * 4096), 99);
}

static void a_block_goes_into_the_emptier_bucket(void **state)
{
	__u32 used = 0;

	(void)state;
	make_table(2);
	for (__u64 i = 1; i <= 2 * LMT_BUCKET_SLOTS; i++)
		put(i << 20, 1);
	for (__u32 i = 0; i < 2; i++)
		for (int k = 0; k < LMT_BUCKET_SLOTS; k++)
			used += buckets[i].key[k] != 0;
	assert_true(used >= 14); /* nearly all 16, though hashes never spread that evenly */
}

/* Only then may its others hold something; and what was freed since does not hide it. */
static void a_bucket_shows_that_it_was_half_full(void **state)
{
	(void)state;
	make_table(1);
	for (__u64 i = 1; i < NEAR_PLACES; i++)
		assert_int_equal(put(i * 4096, i), LEDGER_NEW);
	assert_false(has_spilled(&buckets[0]));
	assert_int_equal(put(NEAR_PLACES * 4096, 1), LEDGER_NEW);
	assert_true(has_spilled(&buckets[0]));
	for (__u64 i = 1; i <= NEAR_PLACES; i++)
		assert_true(take(i * 4096));
	assert_int_equal(keys_in_table(), 0);
	assert_true(has_spilled(&buckets[0]));
}

static void claimed_but_unpublished_places_are_left_alone(void **state)
{
	struct lmt_block out;

	(void)state;
	make_table(1);
	for (int k = 0; k < LMT_BUCKET_SLOTS; k++)
		buckets[0].key[k] = key_of(0x1000 * (k + 1)) | LMT_KEY_BUSY;
	assert_int_equal(put(0x1000, 1), LEDGER_FULL);
	assert_int_equal(ledger_take(key_of(0x1000), &out), 0);
	buckets[0].key[5] = 0;
	assert_int_equal(put(0x9000, 9), LEDGER_NEW);
	assert_int_equal(buckets[0].key[5], key_of(0x9000));
}

static void no_map_and_no_block_are_survived(void **state)
{
	struct lmt_block out;

	(void)state;
	assert_int_equal(ledger_take(key_of(0x1000), NULL), 0);
	assert_int_equal(ledger_put(key_of(0x1000), NULL), LEDGER_FULL);
	fake_map(&blocks, buckets, sizeof(*buckets), 0);
	assert_int_equal(ledger_take(key_of(0x1000), &out), 0);
	assert_int_equal(put(0x1000, 1), LEDGER_FULL);
}

/* Half of all places, as the table is sized; blocks `spacing` bytes apart from a base on. */
static unsigned int refused_at_half_load(__u64 base, __u64 spacing)
{
	__u64 n;
	unsigned int refused = 0;

	make_table(4096);
	n = (__u64)n_buckets * LMT_BUCKET_SLOTS / 2;
	for (__u64 i = 0; i < n; i++)
		refused += put(base + i * spacing, 1) == LEDGER_FULL;
	assert_int_equal(keys_in_table() + refused, n);
	return refused;
}

static void nothing_is_refused_up_to_the_design_load(void **state)
{
	static const __u64 spacings[] = { 32, 48, 64, 80, 112, 128, 256, 1000, 4096, 65536, 1 << 20 };
	static const __u64 bases[] = { 0x55d0c3a4b2a0, 0x7f12a0000020, 0x40000010, 0x7fffe0000000 };

	(void)state;
	for (unsigned int s = 0; s < sizeof(spacings) / sizeof(spacings[0]); s++) {
		for (unsigned int b = 0; b < sizeof(bases) / sizeof(bases[0]); b++) {
			unsigned int refused = refused_at_half_load(bases[b], spacings[s]);

			if (refused)
				fail_msg("%u of 16384 blocks refused: base 0x%llx, spacing %llu", refused,
					 bases[b], spacings[s]);
		}
	}
}

static int put_for(__u32 owner, __u64 addr, __u64 size)
{
	struct lmt_block b = block_of(size);

	b.state = owner;
	return ledger_put(key_of(addr), &b);
}

static void blocks_of_a_gone_arena_make_room(void **state)
{
	(void)state;
	make_table(1);
	for (__u64 i = 1; i <= LMT_BUCKET_SLOTS; i++)
		assert_int_equal(put_for(i == 5 ? 4 : 3, i * 4096, i), LEDGER_NEW);
	assert_int_equal(put_for(3, 99 * 4096, 99), LEDGER_FULL); /* the arena lives */
	all_states[3].flags |= LMT_STATE_DEAD; /* frees of a state without an arena are seen */
	assert_int_equal(put_for(3, 99 * 4096, 99), LEDGER_FULL);
	all_states[4].flags |= LMT_STATE_CLOSING;
	assert_int_equal(put_for(2, 99 * 4096, 99), LEDGER_NEW);
	assert_int_equal(keys_in_table(), LMT_BUCKET_SLOTS);
	assert_int_equal(take(5 * 4096), 0);
	assert_int_equal(take(99 * 4096), 99);
	assert_int_equal(take(4 * 4096), 4);
}

static void an_address_of_a_gone_arena_is_new_when_it_comes_again(void **state)
{
	(void)state;
	assert_int_equal(put_for(4, 0x1000, 10), LEDGER_NEW);
	all_states[4].flags |= LMT_STATE_DEAD;
	assert_int_equal(put_for(2, 0x1000, 20), LEDGER_NEW); /* no free was missed */
	assert_int_equal(put_for(2, 0x1000, 30), LEDGER_REPLACED);
	assert_int_equal(keys_in_table(), 1);
	assert_int_equal(take(0x1000), 30);
}

static __u64 seed;

static __u64 random_number(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Sizes as a program asks for them, one behind the other as malloc does. */
static void a_heap_of_mixed_sizes_fits_at_the_design_load(void **state)
{
	__u64 addr = 0x55d0c3a4b2a0, n;

	(void)state;
	seed = 88172645463325252ull;
	make_table(4096);
	n = (__u64)n_buckets * LMT_BUCKET_SLOTS / 2;
	for (__u64 i = 0; i < n; i++) {
		assert_int_equal(put(addr, 1), LEDGER_NEW);
		addr += 32 + (random_number() % 8) * 16;
	}
	assert_int_equal(keys_in_table(), n);
}

#define MODEL 2048

/* Random puts and takes against an array that cannot be wrong. */
static void the_ledger_agrees_with_a_model(void **state)
{
	static __u64 model[MODEL];
	unsigned int live = 0;

	(void)state;
	seed = 2463534242;
	make_table(MODEL / LMT_BUCKET_SLOTS * 4);
	for (int round = 0; round < 200000; round++) {
		__u64 i = random_number() % MODEL, addr = 0x7f0000000000 + i * 48;

		if (random_number() % 2) {
			int want = model[i] ? LEDGER_REPLACED : LEDGER_NEW;

			live += !model[i];
			model[i] = 1 + random_number() % 100000;
			assert_int_equal(put(addr, model[i]), want);
		} else {
			live -= model[i] != 0;
			assert_int_equal(take(addr), model[i]);
			model[i] = 0;
		}
	}
	assert_int_equal(keys_in_table(), live);
}

static void places_are_found(void **state)
{
	struct lmt_bucket b = { .key = { 0 } };

	(void)state;
	for (__u32 i = 0; i < LMT_BUCKET_SLOTS; i++) {
		assert_int_equal(place_of(&b, 77 + i), LMT_BUCKET_SLOTS);
		b.key[i] = 77 + i;
		assert_int_equal(place_of(&b, 77 + i), i);
	}
	assert_int_equal(free_place(&b, LMT_BUCKET_SLOTS), LMT_BUCKET_SLOTS);
	b.key[3] = 0;
	b.key[5] |= LMT_KEY_BUSY;
	assert_int_equal(free_place(&b, LMT_BUCKET_SLOTS), 3);
	assert_int_equal(place_of(&b, 77 + 5), LMT_BUCKET_SLOTS);
}

/* Frees leave holes: how full a bucket is must be counted. */
static void churn_at_the_design_load_refuses_nothing(void **state)
{
	static __u64 at[32768 * LMT_BUCKET_SLOTS / 2];
	unsigned int n = sizeof(at) / sizeof(at[0]);

	(void)state;
	seed = 88172645463325252ull;
	make_table(32768);
	for (unsigned int i = 0; i < n; i++) {
		at[i] = 0x7f0000000000 + 48ull * i;
		assert_int_equal(put(at[i], 1), LEDGER_NEW);
	}
	for (unsigned int i = 0; i < 10 * n; i++) {
		unsigned int k = (unsigned int)(random_number() % n);

		assert_int_equal(take(at[k]), 1);
		at[k] = 0x7f0000000000 + 48ull * n + 48ull * i; /* nowhere near */
		assert_int_equal(put(at[k], 1), LEDGER_NEW);
	}
}

static void keys_hold_slot_and_address(void **state)
{
	__u64 key = LMT_KEY(LMT_SLOT_MAX - 1, 0x7fffffffffff);

	(void)state;
	assert_int_equal(LMT_KEY_SLOT(key), LMT_SLOT_MAX - 1);
	assert_int_equal(key & LMT_ADDR_MASK, 0x7fffffffffff);
	assert_int_equal(key & LMT_KEY_BUSY, 0);
	assert_int_equal(LMT_KEY_SLOT(key | LMT_KEY_BUSY), LMT_SLOT_MAX - 1);
}

#define LEDGER_TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEDGER_TEST(what_is_put_is_taken_once),
		LEDGER_TEST(an_address_belongs_to_its_process),
		LEDGER_TEST(a_failed_realloc_puts_the_old_block_back),
		LEDGER_TEST(a_stale_block_is_replaced_not_doubled),
		LEDGER_TEST(a_stale_block_is_found_in_a_crowded_bucket),
		LEDGER_TEST(a_full_table_refuses_and_recovers),
		LEDGER_TEST(a_block_goes_into_the_emptier_bucket),
		LEDGER_TEST(a_bucket_shows_that_it_was_half_full),
		LEDGER_TEST(claimed_but_unpublished_places_are_left_alone),
		LEDGER_TEST(no_map_and_no_block_are_survived),
		LEDGER_TEST(nothing_is_refused_up_to_the_design_load),
		LEDGER_TEST(a_heap_of_mixed_sizes_fits_at_the_design_load),
		LEDGER_TEST(blocks_of_a_gone_arena_make_room),
		LEDGER_TEST(an_address_of_a_gone_arena_is_new_when_it_comes_again),
		LEDGER_TEST(the_ledger_agrees_with_a_model),
		LEDGER_TEST(places_are_found),
		LEDGER_TEST(churn_at_the_design_load_refuses_nothing),
		LEDGER_TEST(keys_hold_slot_and_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
