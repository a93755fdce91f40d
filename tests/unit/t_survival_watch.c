/* SPDX-License-Identifier: MIT */
/*
 * What windows and heap walks make of the workloads that t_survival.c has for the whole ledger:
 * a window now and then, samples of what it left, a walk every few seconds that tells which live.
 */
#include "simulated.h"

#include "heap/estimate.h"
#include "resolve/layouts.h"

#define WINDOW_MS 30
#define EVERY_MS 400 /* on average, so that one call in thirteen is seen */
#define WALK_MS 4000
#define BLOCK 100
#define BASE 20000   /* bytes of the heap that are no workload's */

struct watch {
	struct sim sim;
	struct estimate e;
	struct heap heap;
	struct gcpoll gc;
	uint32_t next; /* window: when it begins */
	size_t from;   /* its first birth */
};

static bool read_text(void *ctx, uint32_t state, uint64_t uaddr, uint8_t *text, uint32_t n)
{
	(void)ctx, (void)state;
	for (uint32_t i = 0; i < n; i++)
		text[i] = (uint8_t)(uaddr >> i % 8 * 8);
	return true;
}

static bool is_object(void *ctx, const struct snapshot_site *site, uint64_t uaddr)
{
	(void)ctx, (void)site, (void)uaddr;
	return true;
}

static const struct estimate_reader reader = { read_text, is_object, NULL };

static void set_up(struct watch *w)
{
	static const struct lmt_layout layout;
	uint64_t *at;

	*hashmap_get_or_add(&w->gc.by_index, 1) = 1;
	assert_int_equal(vec_push(&w->gc.states, (struct gcpoll_state){ .index = 1 }), 0);
	assert_true(heap_add_state(&w->heap, 1, 7, 1, &layout, true) >= 0);
	at = hashmap_get_or_add(&w->heap.stacks.site_of, 1);
	assert_int_equal(vec_push(&w->heap.sites, (struct heap_site){ .kind = KIND_TABLE }), 0);
	*at = 1;
}

static void tear_down(struct watch *w)
{
	estimate_deinit(&w->e);
	vec_deinit(&w->gc.states);
	hashmap_deinit(&w->gc.by_index);
	heap_deinit(&w->heap);
	vec_deinit(&w->sim.places);
	vec_deinit(&w->sim.all);
}

/* Of what is alive some are remembered: an address is a position in sim.all. */
static void close_window(struct watch *w, uint32_t now)
{
	struct snapshot_site s = { .index = 1, .state = 1 };
	uint32_t seen = 0;

	estimate_open_window(&w->e, now - w->sim.attach);
	for (size_t i = w->from; i < w->sim.all.n; i++) {
		uint32_t at = seen < SNAPSHOT_SAMPLES ? seen
						      : (uint32_t)(chance(&w->sim) * (seen + 1));

		if (w->sim.all.v[i].dies <= now)
			continue;
		seen++;
		if (at < SNAPSHOT_SAMPLES)
			s.sample_uaddr[at] = i + 1;
	}
	s.live_blocks = seen;
	s.live_bytes = (uint64_t)seen * BLOCK;
	assert_int_equal(estimate_count(&w->e, &s), 0);
	assert_int_equal(estimate_add(&w->e, &s, 0, now / w->sim.cycle_ms, &reader), 0);
	estimate_close_window(&w->e);
	w->next = now + WINDOW_MS + (uint32_t)(chance(&w->sim) * 2 * (EVERY_MS - 2 * WINDOW_MS));
	w->next -= w->next % STEP_MS;
}

static void walk(struct watch *w, uint32_t now)
{
	vec_each(s, &w->e.samples)
		estimate_confirm(s, w->sim.all.v[s->uaddr - 1].dies > now, KIND_TABLE);
	estimate_close_walk(&w->e, now - w->sim.attach);
}

/* The heap as its collector leaves it. */
static void poll(struct watch *w, uint32_t now)
{
	struct gcpoll_state *p = &w->gc.states.v[0];
	uint64_t bytes = BASE;

	for (size_t i = 0; i < w->sim.all.n; i++)
		bytes += w->sim.all.v[i].dies > now ? BLOCK : 0;
	heap_set_gc(&w->heap, 1, bytes, (now - w->sim.attach) / w->sim.cycle_ms);
	p->floor_last = bytes;
	if (!p->floors++)
		p->floor_first = bytes;
}

static enum verdict judge(struct watch *w, uint32_t now, struct how_sure *sure)
{
	struct heap_site *s = &w->heap.sites.v[0];

	estimate_apply(&w->e, &w->heap, &w->gc, (double)EVERY_MS / WINDOW_MS,
		       (now - w->sim.attach) / 1000.0);
	how_sure_add(sure, NULL, s);
	return s->verdict;
}

static void step(struct watch *w, uint32_t now, struct outcome *o, uint32_t *since)
{
	uint32_t ms = now - w->sim.attach;
	struct how_sure sure = { .reasons = 0 };

	if (ms % w->sim.cycle_ms < STEP_MS)
		poll(w, now);
	if (ms % WALK_MS == 0)
		walk(w, now);
	if (ms % 1000 == 0)
		note(o, judge(w, now, &sure), &sure, ms, since,
		     ms + 1000 >= w->sim.w->trace_s * 1000);
}

static struct outcome watch(const struct workload *load)
{
	struct watch w = { .sim = sim_of(load) };
	uint32_t end = w.sim.attach + (uint32_t)(load->trace_s * 1000), since = 0;
	struct outcome o = { .told_s = 0 };
	double due = 0;

	set_up(&w);
	w.next = w.sim.attach;
	for (uint32_t now = 0; now < end; now += STEP_MS) {
		double wave = load->diurnal ? 1 + 0.8 * sin(now / 1000.0 / 7) : 1;

		if (now == w.next)
			w.from = w.sim.all.n;
		for (due += load->per_s * wave * STEP_MS / 1000; due >= 1; due--)
			make(&w.sim, now);
		if (now <= w.sim.attach)
			continue;
		if (now == w.next + WINDOW_MS)
			close_window(&w, now);
		step(&w, now, &o, &since);
	}
	tear_down(&w);
	return o;
}

static void one_in_k_is_told_within_three_minutes_and_twice_its_life(void **state)
{
	unsigned int n = workloads(40), missed = 0, warned = 0;

	(void)state;
	for (unsigned int i = 0; i < n; i++) {
		struct workload w = sessions((unsigned int)between(1, 51), i);
		struct outcome o;

		w.trace_s += 120;
		o = watch(&w);
		missed += o.told_s <= 0;
		warned += w.k > 1 && w.life_s > 3 && !o.error;
		if (o.told_s <= 0)
			print_message("missed: one in %u after %.1f s, before %.0f s\n", w.k, w.life_s,
				      w.before_s);
	}
	print_message("watched, one in K: %u of %u missed, %u only warned of\n", missed, n, warned);
	assert_true(missed * 20 <= n);
	assert_true(warned * 20 <= n);
}

static void where_all_go_nothing_is_told(void **state)
{
	unsigned int n = workloads(40);

	(void)state;
	for (unsigned int i = 0; i < n; i++) {
		struct workload w = sessions(0, i);

		w.trace_s += 120;
		assert_false(watch(&w).alarm);
	}
}

static void no_healthy_workload_is_an_error(void **state)
{
	unsigned int n = workloads(8), warnings = 0, standing = 0, errors = 0;

	(void)state;
	for (unsigned int i = 0; i < n * FATES; i++) {
		struct workload w = healthy(i % FATES, i);
		struct outcome o = watch(&w);

		warnings += o.alarm;
		standing += o.told_s > 0;
		errors += o.error;
		if (o.error)
			print_message("fate %u: %.0f/s life %.1f s, %u places, %u keys%s, cycle %.2f s, "
				      "before %.0f s: error at %.0f s\n", w.fate, w.per_s, w.life_s,
				      w.places, w.keys, w.diurnal ? ", waves" : "", w.cycle_s,
				      w.before_s, o.alarm_s);
	}
	print_message("watched, healthy: %u of %u warned of (at the end %u), %u errors\n", warnings,
		      n * FATES, standing, errors);
	assert_true(errors * 200 <= n * FATES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_in_k_is_told_within_three_minutes_and_twice_its_life),
		cmocka_unit_test(where_all_go_nothing_is_told),
		cmocka_unit_test(no_healthy_workload_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
