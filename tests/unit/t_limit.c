/* SPDX-License-Identifier: MIT */
/*
 * What an allocator refused tells its limit where that is a round number, and nothing where it may
 * be chance.
 */
#include "unit.h"

#include "heap/limit.h"

static void limits(void **unused)
{
	static const struct { uint64_t held, refused, limit; } rows[] = {
		{ 8388580, 8388620, 8388608 },        /* 8 MiB */
		{ 8388608, 8388648, 8388608 },        /* filled to the byte */
		{ 8388580, 8388608, 0 },              /* the limit itself would have been granted */
		{ 9999990, 10000030, 10000000 },      /* 10 MB */
		{ 52428790, 52428900, 52428800 },     /* 50 MiB */
		{ 1610612700, 1610612800, 1610612736 }, /* 1.5 GiB */
		{ 1234567, 1234600, 0 },              /* no round number near */
		{ 1234567, 2234567, 0 },              /* 2 MB, 2 MiB and much else lie there */
		{ 4096000, 8192000, 0 },
		{ 100, 4200, 0 },
		{ 0, 100, 0 }, { 100, 100, 0 }, { 100, 50, 0 },
		{ UINT64_MAX - 100, UINT64_MAX, 0 },
	};

	(void)unused;
	for (size_t i = 0; i < N_OF(rows); i++)
		assert_int_equal(limit_between(rows[i].held, rows[i].refused), rows[i].limit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
