/* SPDX-License-Identifier: MIT */
/* Whether a block is still handed out, asked of the very malloc() that this test runs on. */
#include "unit.h"

#include <stdlib.h>
#include <unistd.h>

#include "collect/chunk.h"

#define N 64

static struct memread mem; /* of this process */

/* Its malloc() is not glibc's. */
static void skip_under_asan(void)
{
#ifdef __SANITIZE_ADDRESS__
	skip();
#endif
}

static int open_self(void **state)
{
	(void)state;
	return memread_open_process(getpid(), &mem);
}

static int close_self(void **state)
{
	(void)state;
	memread_close_process(&mem);
	return 0;
}

static void take(struct chunk_block *b, void **block, size_t size, size_t head)
{
	for (size_t i = 0; i < N; i++) {
		block[i] = malloc(size + head);
		assert_non_null(block[i]);
		memset(block[i], 0x55, size + head);
		b[i] = (struct chunk_block){ (uint64_t)(uintptr_t)block[i] + head, size };
	}
}

/*
 * Small ones beyond the cache's seven may be in a fast bin, which looks as what was never written
 * to.
 */
static enum chunk_fate freed(const struct chunk_rule *rule, const struct chunk_block *b)
{
	return b->size + rule->head <= 120 && chunk_fate(&mem, rule, b) == CHUNK_MAYBE ? CHUNK_MAYBE
										       : CHUNK_FREE;
}

static void live_and_freed_blocks_are_told_apart(void **state)
{
	static const size_t sizes[] = { 8, 24, 88, 104, 600, 3000 }, heads[] = { 0, 16, 32 };
	static struct chunk_block b[N];
	static void *block[N];

	(void)state;
	skip_under_asan();
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		for (size_t h = 0; h < sizeof(heads) / sizeof(heads[0]); h++) {
			struct chunk_rule rule;
			void *end;

			take(b, block, sizes[s], heads[h]);
			end = malloc(16); /* what is freed is not given back to the top */
			rule = chunk_learn(&mem, b, N, true);
			assert_true(rule.known);
			for (size_t i = 0; i < N; i++)
				assert_int_equal(chunk_fate(&mem, &rule, &b[i]), CHUNK_IN_USE);
			for (size_t i = 0; i < N; i += 2)
				free(block[i]);
			for (size_t i = 0; i < N; i++)
				assert_int_equal(chunk_fate(&mem, &rule, &b[i]),
						 i % 2 ? CHUNK_IN_USE : freed(&rule, &b[i]));
			for (size_t i = 1; i < N; i += 2)
				free(block[i]);
			free(end);
		}
	}
}

/* A list of lost blocks of one size: each holds the address of another, as freed ones do. */
static void a_list_of_blocks_is_in_use(void **state)
{
	static struct chunk_block b[N];
	static void *block[N];
	struct chunk_rule rule;

	(void)state;
	skip_under_asan();
	take(b, block, 88, 0);
	for (size_t i = 1; i < N; i++)
		memcpy(block[i], &block[i - 1], sizeof(block[i]));
	rule = chunk_learn(&mem, b, N, true);
	assert_true(rule.known);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(chunk_fate(&mem, &rule, &b[i]), CHUNK_IN_USE);
	for (size_t i = 0; i < N; i++)
		free(block[i]);
}

/* What a block that nobody wrote to holds of its last stay in a cache does not make it free. */
static void a_block_taken_again_is_not_free(void **state)
{
	static struct chunk_block b[N];
	static void *block[N];
	struct chunk_rule rule;

	(void)state;
	skip_under_asan();
	take(b, block, 88, 0);
	rule = chunk_learn(&mem, b, N, true);
	for (size_t i = 0; i < 5; i++)
		free(block[i]);
	for (size_t i = 0; i < 5; i++)
		block[i] = malloc(88);
	for (size_t i = 0; i < N; i++)
		assert_int_not_equal(chunk_fate(&mem, &rule, &b[i]), CHUNK_FREE);
	for (size_t i = 0; i < N; i++)
		free(block[i]);
}

/* Memory that is no malloc()'s gives no rule, hence no answer. */
static void memory_of_another_allocator_is_unknown(void **state)
{
	static struct chunk_block b[N];
	static char arena[N * 112 + 64];
	struct chunk_rule rule;

	(void)state;
	for (size_t i = 0; i < N; i++)
		b[i] = (struct chunk_block){ (uint64_t)(uintptr_t)arena + 32 + i * 112, 88 };
	rule = chunk_learn(&mem, b, N, true);
	assert_false(rule.known);
	assert_int_equal(chunk_fate(&mem, &rule, &b[0]), CHUNK_UNKNOWN);
}

int main(void)
{
#ifdef __SANITIZE_ADDRESS__
	puts("1..0 # SKIP the sanitizer's malloc() is not glibc's");
	return 0;
#endif
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(live_and_freed_blocks_are_told_apart),
		cmocka_unit_test(a_list_of_blocks_is_in_use),
		cmocka_unit_test(a_block_taken_again_is_not_free),
		cmocka_unit_test(memory_of_another_allocator_is_unknown),
	};

	return cmocka_run_group_tests(tests, open_self, close_self);
}
