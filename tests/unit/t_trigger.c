/* SPDX-License-Identifier: MIT */
/* Growth is told from the sawtooth of a collected heap. */
#include "unit.h"

#include "record/trigger.h"

#define MIB 1048576.0

/* A heap that holds live bytes at a time, and twice that before it is collected again. */
struct program {
	double live, leak_per_s; /* bytes */
	double churn_per_s;      /* bytes, of garbage */
	double heap, floor, low, high;
	unsigned int cycles;
};

/* The heap is looked at once in 20 ms. */
static void run_ms(struct program *p, unsigned int ms)
{
	p->live += p->leak_per_s / 1000;
	p->heap += (p->churn_per_s + p->leak_per_s) / 1000;
	if (p->heap > 2 * p->floor) {
		p->heap = p->floor = p->live;
		p->cycles++;
	}
	if (ms % 20)
		return;
	p->low = p->heap < p->low ? p->heap : p->low;
	p->high = p->heap > p->high ? p->heap : p->high;
}

/* Seconds until growth>100k/min fires; 0: not within the time. */
static unsigned int seconds_to_fire(struct program p, unsigned int seconds)
{
	struct report_process process = { .pid = 7 };
	struct report r = { 0 };
	struct triggers *t = NULL;
	struct errmsg err = { 0 };
	char why[256];
	unsigned int ret = 0;

	assert_int_equal(triggers_parse("growth>100k/min", &t, &err), 0);
	assert_int_equal(vec_push(&r.processes, process), 0);
	assert_int_equal(vec_push(&r.states, (struct report_state){ 0 }), 0);
	p.heap = p.floor = p.live;
	for (unsigned int s = 1; s <= seconds && !ret; s++) {
		p.low = p.high = p.heap;
		for (unsigned int ms = 0; ms < 1000; ms++)
			run_ms(&p, ms);
		r.end_realtime_ns = s * 1000000000ull;
		r.states.v[0] = (struct report_state){
			.pid = 7, .state = 1, .heap_known = true,
			.heap_bytes = (uint64_t)p.heap, .heap_floor = (uint64_t)p.floor,
			.heap_low = (uint64_t)p.low, .heap_high = (uint64_t)p.high,
			.gc_cycles = p.cycles,
		};
		if (triggers_check(t, &r, why, sizeof(why)))
			ret = s;
	}
	triggers_free(t);
	vec_deinit(&r.processes);
	vec_deinit(&r.states);
	return ret;
}

/* From two collections a second to one in many minutes. */
static void a_sawtooth_is_no_growth(void **state)
{
	(void)state;
	for (double churn = 0.005; churn < 100; churn *= 1.07)
		assert_int_equal(seconds_to_fire((struct program){
			.live = 10 * MIB, .churn_per_s = churn * MIB }, 400), 0);
}

static void a_leak_is_growth_whatever_the_churn(void **state)
{
	(void)state;
	for (double churn = 0.5; churn < 100; churn *= 1.07)
		assert_in_range(seconds_to_fire((struct program){
			.live = 5 * MIB, .leak_per_s = 0.25 * MIB, .churn_per_s = churn * MIB },
			120), 6, 60);
}

static void without_a_collection_it_must_outgrow_the_pause(void **state)
{
	unsigned int s = seconds_to_fire((struct program){
		.live = 1 * MIB, .leak_per_s = 0.2 * MIB }, 120);

	(void)state;
	assert_in_range(s, 6, 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sawtooth_is_no_growth),
		cmocka_unit_test(a_leak_is_growth_whatever_the_churn),
		cmocka_unit_test(without_a_collection_it_must_outgrow_the_pause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
