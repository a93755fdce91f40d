/* SPDX-License-Identifier: MIT */
/* Heaps as polls see them: each look falls anywhere into the sawtooth. */
#include "unit.h"

#include "collect/heap_trend.h"

#define POLL_MS 20
#define MIB 1048576ull

struct heap {
	uint64_t ms;
	double floor, grows; /* bytes after a collection; more of them a second */
	unsigned int cycle_ms;
	uint32_t seed, cycles;
	struct heap_trend trend;
	unsigned int alarm_ms;
};

/* Between two collections the heap doubles, and collections are not alike by a hundredth. */
static void run(struct heap *h, unsigned int seconds)
{
	for (unsigned int i = 0; i < seconds * 1000 / POLL_MS; i++) {
		double tooth, jitter;
		uint32_t cycles;

		h->ms += POLL_MS;
		h->floor += h->grows * POLL_MS / 1000;
		cycles = (uint32_t)(h->ms / h->cycle_ms);
		h->seed = h->seed * 1664525u + 1013904223u;
		tooth = h->cycle_ms <= POLL_MS ? (double)(h->seed >> 8) / (1 << 24)
					       : (double)(h->ms % h->cycle_ms) / h->cycle_ms;
		jitter = (double)(cycles * 2654435761u >> 16 & 0xff) / 25600;
		heap_trend_note(&h->trend, h->ms, (uint64_t)(h->floor * (1 + jitter + tooth)),
			    cycles != h->cycles);
		h->cycles = cycles;
		h->alarm_ms += h->trend.rising ? POLL_MS : 0;
	}
}

static const unsigned int paces[] = { 20, 300, 2500 };

static void a_heap_that_turns_over_does_not_rise(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < N_OF(paces); i++) {
		struct heap h = { .floor = MIB, .cycle_ms = paces[i] };

		run(&h, 600);
		assert_true(heap_trend_known(&h.trend));
		assert_true(h.alarm_ms < 60000); /* a tenth at most: by chance, at first */
		h.alarm_ms = 0;
		run(&h, 600);
		assert_true(h.alarm_ms < 30000);
	}
}

/* From a doubling every ten seconds to a tenth in ten minutes. */
static void a_leak_makes_it_rise_however_slow(void **state)
{
	static const double grows[] = { MIB / 10.0, MIB / 100.0, MIB / 6000.0 };

	(void)state;
	for (unsigned int i = 0; i < N_OF(paces); i++) {
		for (unsigned int k = 0; k < N_OF(grows); k++) {
			struct heap h = { .floor = MIB, .cycle_ms = paces[i] };

			run(&h, 60);
			h.alarm_ms = 0;
			h.grows = grows[k];
			run(&h, 900);
			assert_true(h.alarm_ms > (k < 2 ? 150000 : 5000));
		}
	}
}

static void a_cache_that_is_full_lets_it_rest(void **state)
{
	struct heap h = { .floor = MIB, .cycle_ms = 300 };

	(void)state;
	run(&h, 10);
	h.grows = MIB / 10.0;
	run(&h, 10);
	assert_true(h.trend.rising);
	h.grows = 0;
	run(&h, 30);
	assert_false(h.trend.rising);
	h.alarm_ms = 0;
	run(&h, 100);
	assert_int_equal(h.alarm_ms, 0);
}

/* What a burst of work had needed once is no excuse for a leak that begins after it. */
static void a_heap_that_has_shrunk_is_measured_by_what_it_is(void **state)
{
	struct heap h = { .floor = 4.0 * MIB, .cycle_ms = 300 };

	(void)state;
	run(&h, 10);
	h.floor = MIB;
	run(&h, 30);
	assert_false(h.trend.rising);
	h.grows = MIB / 100.0;
	run(&h, 20);
	assert_true(h.trend.rising);
}

static void before_two_stretches_nothing_is_known(void **state)
{
	struct heap h = { .floor = MIB, .cycle_ms = 8000 };

	(void)state;
	run(&h, 15);
	assert_false(heap_trend_known(&h.trend));
	assert_false(h.trend.rising);
	run(&h, 20);
	assert_true(heap_trend_known(&h.trend));
}

static void a_heap_that_nobody_uses_keeps_nobody_waiting(void **state)
{
	struct heap_trend t = { 0 };

	(void)state;
	for (uint64_t ms = 20; ms < 5000; ms += 20)
		heap_trend_note(&t, ms, MIB, false);
	assert_true(heap_trend_known(&t));
	heap_trend_note(&t, 5000, MIB + 100, false);
	assert_false(heap_trend_known(&t));
}

/* Where nothing is collected censuses tell. */
static void what_censuses_find_held_rises_too(void **state)
{
	struct heap_trend t = { 0 };

	(void)state;
	heap_trend_note(&t, 20, MIB, false);
	heap_trend_held(&t, 4000, MIB);
	heap_trend_note(&t, 5000, 8 * MIB, false);
	heap_trend_held(&t, 8000, MIB + MIB / 100);
	assert_true(heap_trend_known(&t));
	assert_false(t.rising);
	heap_trend_held(&t, 16000, MIB + MIB / 10);
	assert_true(t.rising);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_heap_that_turns_over_does_not_rise),
		cmocka_unit_test(a_leak_makes_it_rise_however_slow),
		cmocka_unit_test(a_cache_that_is_full_lets_it_rest),
		cmocka_unit_test(a_heap_that_has_shrunk_is_measured_by_what_it_is),
		cmocka_unit_test(before_two_stretches_nothing_is_known),
		cmocka_unit_test(a_heap_that_nobody_uses_keeps_nobody_waiting),
		cmocka_unit_test(what_censuses_find_held_rises_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
