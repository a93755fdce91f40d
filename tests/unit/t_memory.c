/* SPDX-License-Identifier: MIT */
/*
 * Where the memory of a process is: what smaps says, how its parts grow, when growth is a finding.
 */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "discover/resident.h"
#include "heap/detect.h"
#include "heap/memory.h"

static void smaps_fall_into_uses(void **state)
{
	static const char text[] =
		"55d000000000-55d000010000 r-xp 00000000 08:01 77 /usr/bin/app\nRss:  40 kB\nPss: 1 kB\n"
		"55d000020000-55d000030000 rw-p 00010000 08:01 77 /usr/bin/app\nRss:  8 kB\n"
		"55d100000000-55d100100000 rw-p 00000000 00:00 0 [heap]\nRss: 900 kB\n"
		"7f0000000000-7f0000100000 rw-p 00000000 00:00 0 \nRss: 100 kB\nAnonymous: 100 kB\n"
		"7f0000200000-7f0000300000 ---p 00000000 00:00 0 \nRss: 0 kB\n"
		"7f0000400000-7f0000500000 r-xp 00000000 00:00 0 \nRss: 64 kB\n"
		"7f0000600000-7f0000700000 rw-s 00000000 00:01 5 /dev/shm/x\nRss: 16 kB\n"
		"7ffd00000000-7ffd00100000 rw-p 00000000 00:00 0 [stack]\nRss: 12 kB\n"
		"7ffd00200000-7ffd00201000 r-xp 00000000 00:00 0 [vdso]\nRss: 4 kB\n";
	FILE *f = fmemopen((void *)text, sizeof(text) - 1, "r");
	struct resident r = { 0 };

	(void)state;
	assert_int_equal(resident_parse(f, &r), 0);
	fclose(f);
	assert_true(r.whole);
	assert_int_equal(r.bytes[RESIDENT_FILE], 40 << 10);
	assert_int_equal(r.bytes[RESIDENT_DATA], 8 << 10);
	assert_int_equal(r.bytes[RESIDENT_HEAP], 1000 << 10);
	assert_int_equal(r.bytes[RESIDENT_MACHINE_CODE], 64 << 10);
	assert_int_equal(r.bytes[RESIDENT_SHARED], 16 << 10);
	assert_int_equal(r.bytes[RESIDENT_STACK], 12 << 10);
	assert_int_equal(r.total, (40 + 8 + 1000 + 64 + 16 + 12) << 10);
	assert_int_equal(r.heaps.n, 2);
	assert_true(r.heaps.v[0].brk && !r.heaps.v[1].brk);
	resident_deinit(&r);
}

static void an_empty_smaps_is_no_process(void **state)
{
	FILE *f = fmemopen((void *)"\n", 1, "r");
	struct resident r = { 0 };

	(void)state;
	assert_int_equal(resident_parse(f, &r), -ESRCH);
	fclose(f);
	resident_deinit(&r);
}

typedef double (*shape)(double seconds); /* bytes */

static void fill(struct memory_series *s, double seconds, shape native, bool roll)
{
	*s = (struct memory_series){ .step_ms = 1000 };
	for (double t = 0; t <= seconds; t += 1) {
		struct memory_point p = { .ms = (uint64_t)(t * 1000) };

		p.part[MEMORY_NATIVE] = (uint64_t)native(t);
		p.rss = p.part[MEMORY_NATIVE] + (5u << 20);
		if (roll)
			memory_series_roll(s, &p);
		else
			memory_series_add(s, &p);
	}
}

static double steady(double t) { return 4e6 + 50e3 * t; }
static double flat(double t) { return 40e6 + (int)t % 3 * 9e3; }
static double fills(double t) { return 4e6 + 3e6 * (t < 12 ? t : 12); }
static double fills_slowly(double t) { return 4e6 + 100e3 * (t < 30 ? t : 30); }
static double saw(double t) { return 8e6 + 1e6 * ((int)t % 11); }
static double one_step(double t) { return t < 20 ? 8e6 : 60e6; }
static double starts_late(double t) { return 8e6 + (t < 100 ? 0 : (t - 100) * 80e3); }
static double leaks_in_saw(double t) { return 8e6 + 1e6 * ((int)t % 5) + 150e3 * t; }

static void growth_that_goes_on_is_told_from_all_else(void **state)
{
	static const struct {
		const char *name;
		shape native;
		double seconds;
		bool rises;
	} rows[] = {
		{ "steady", steady, 30, true }, { "steady, too short", steady, 15, false },
		{ "flat", flat, 60, false }, { "a buffer fills", fills, 60, false },
		{ "a cache fills slowly", fills_slowly, 60, false }, { "a sawtooth", saw, 90, false },
		{ "one big block", one_step, 60, false }, { "a leak that starts late", starts_late, 220, true },
		{ "a leak in a sawtooth", leaks_in_saw, 60, true }, { "for an hour", steady, 3600, true },
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct memory_series recent, whole;
		bool rises;

		fill(&recent, rows[i].seconds, rows[i].native, true);
		fill(&whole, rows[i].seconds, rows[i].native, false);
		rises = memory_rises(&recent, MEMORY_NATIVE) > 0 ||
			memory_rises(&whole, MEMORY_NATIVE) > 0;
		if (rises != rows[i].rises)
			fail_msg("%s: %d", rows[i].name, rises);
	}
}

static void a_series_spans_its_time_and_keeps_the_latest(void **state)
{
	struct memory_series s;

	(void)state;
	fill(&s, 1000, steady, false);
	assert_int_equal(s.p[0].ms, 0);
	assert_int_equal(s.p[s.n - 1].ms, 1000000);
	fill(&s, 1000, steady, true);
	assert_int_equal(s.n, MEMORY_POINTS);
	assert_true(s.p[0].ms > 900000);
	assert_float_equal(memory_growth(&s, MEMORY_NATIVE), 50e3, 1e3);
	assert_true(memory_growth(&s, MEMORY_MAX) > 49e3 && memory_growth(&s, MEMORY_LUA) < 1);
	fill(&s, 3, steady, true);
	assert_false(memory_growth_known(&s));
}

static struct finding *detect(struct findings *fs, shape native, double seconds)
{
	struct memory_series recent, whole;

	fill(&recent, seconds, native, true);
	fill(&whole, seconds, native, false);
	detect_native_growth(fs, 7, &recent, &whole, 1);
	return fs->v.n && !fs->v.v[0].withdrawn ? &fs->v.v[0] : NULL;
}

/*
 * malloc() rounds up what Lua asks for: a part of a heap that grows, garbage or not, is nobody's.
 */
static void what_lua_has_rounded_up_is_not_of_c(void **state)
{
	struct findings fs = { .strings = strpool_new() };
	struct memory_series s;

	(void)state;
	for (unsigned int part = MEMORY_LUA; part <= MEMORY_GARBAGE; part++) {
		fill(&s, 60, steady, false);
		for (unsigned int i = 0; i < s.n; i++)
			s.p[i].part[part] = 6 * s.p[i].part[MEMORY_NATIVE];
		detect_native_growth(&fs, 7, &s, &s, 1);
		assert_int_equal(fs.v.n, 0);
	}
	findings_deinit(&fs);
	strpool_free(fs.strings);
}

static void it_is_one_finding_until_it_stops_or_is_explained(void **state)
{
	struct findings fs = { .strings = strpool_new() };
	struct finding *f;

	(void)state;
	f = detect(&fs, steady, 40);
	assert_non_null(f);
	assert_int_equal(f->kind, FINDING_NATIVE_GROWTH);
	assert_int_equal(f->pid, 7);
	assert_non_null(detect(&fs, steady, 60));
	assert_int_equal(fs.v.n, 1);
	assert_null(detect(&fs, flat, 60));
	assert_non_null(detect(&fs, steady, 60));
	f = finding_make(&fs, FINDING_C_LEAK, 1);
	f->pid = 7;
	assert_null(detect(&fs, steady, 60));
	findings_deinit(&fs);
	strpool_free(fs.strings);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(smaps_fall_into_uses),
		cmocka_unit_test(an_empty_smaps_is_no_process),
		cmocka_unit_test(growth_that_goes_on_is_told_from_all_else),
		cmocka_unit_test(a_series_spans_its_time_and_keeps_the_latest),
		cmocka_unit_test(what_lua_has_rounded_up_is_not_of_c),
		cmocka_unit_test(it_is_one_finding_until_it_stops_or_is_explained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
