/* SPDX-License-Identifier: MIT */
#include "gcpoll.h"

#include <errno.h>
#include <stdlib.h>

#include "block.h"

#define BUILD_TRIES 50 /* polls: a second, and more where they are late */

void gcpoll_deinit(struct gcpoll *p)
{
	vec_each(s, &p->states)
		free(s->pace);
	vec_deinit(&p->states);
	hashmap_deinit(&p->by_index);
}

int gcpoll_add(struct gcpoll *p, uint32_t index, uint64_t G, const struct lmt_layout *layout,
	       const struct memread *mem)
{
	struct gcpoll_state s = { .index = index, .G = G, .layout = layout, .mem = mem };
	uint64_t *at = hashmap_get_or_add(&p->by_index, index);

	s.built = states_read_gc(mem, layout, G, &s.gc);
	s.full_estimate = s.gc.estimate;
	if (!at || vec_push(&p->states, s))
		return -ENOMEM;
	*at = p->states.n;
	return 0;
}

struct gcpoll_state *gcpoll_find(struct gcpoll *p, uint32_t index)
{
	const uint64_t *at = index ? hashmap_lookup(&p->by_index, index) : NULL;

	return at && *at ? &p->states.v[*at - 1] : NULL;
}

void gcpoll_remove(struct gcpoll *p, uint32_t index)
{
	struct gcpoll_state *s = gcpoll_find(p, index);

	if (!s)
		return;
	free(s->pace);
	*s = p->states.v[--p->states.n];
	*hashmap_lookup(&p->by_index, s->index) = (uint64_t)(s - p->states.v) + 1;
	*hashmap_lookup(&p->by_index, index) = 0;
}

/* KGC_GEN of 5.2 and 5.4, KGC_GENMINOR of 5.5: the collector leaves what is old alone. */
static bool is_minor(const struct gcpoll_state *s, const struct state_gc *gc)
{
	if (s->layout->family != LMT_FAMILY_PUC)
		return false;
	return gc->kind == (s->layout->version == 502 ? 2 : 1) && s->layout->version != 501 &&
	       s->layout->version != 503;
}

/* Between cycles, or marking: the sweep of the cycle before is over. */
static bool at_rest(const struct gcpoll_state *s, const struct state_gc *gc)
{
	int pause = s->layout->K_pause.off;

	return gc->gcstate == pause || gc->gcstate == (pause == 0 ? 1 : 0);
}

static void note_full(struct gcpoll_state *s, uint32_t n, uint64_t ms)
{
	s->fulls += n;
	s->full_ms = ms;
}

/*
 * Cycles since the poll before: full collections that BPF counted, and one more when the flips seen
 * say so and no collection that had only begun explains it. Returns how many full ones have ended.
 */
static uint32_t count_cycles(struct gcpoll_state *s, struct lmt_state *entry, bool flipped,
			     uint64_t now_ms)
{
	uint32_t began = __atomic_load_n(&entry->gc_cycle, __ATOMIC_RELAXED) - s->cycles;
	uint32_t due = began + s->due, n = began;

	s->due = (due + flipped) % 2 && due;
	if (!due && flipped) {
		__atomic_fetch_add(&entry->gc_cycle, 1, __ATOMIC_RELAXED);
		n = 1;
	}
	for (uint32_t i = n < GCPOLL_FLIPS ? n : GCPOLL_FLIPS; i; i--)
		s->flip_ms[(s->cycles + n - i + 1) % GCPOLL_FLIPS] = now_ms;
	s->cycles += n;
	if (n || flipped)
		s->swept = false;
	return due - s->due;
}

/*
 * The heap's size after a full collection stays noted in global_State while minor ones go on
 * (5.2, 5.4; 5.5 changes its kind for a full one instead). seen_ms: of the poll before, since the
 * collection may have been as early as that. fulls: those that the program asked for.
 */
static void note_collections(struct gcpoll_state *s, const struct state_gc *now, uint32_t cycles,
			     uint32_t fulls, uint64_t seen_ms)
{
	bool minor = is_minor(s, now) && is_minor(s, &s->gc);
	uint32_t n = minor ? fulls : cycles;

	if (!minor || fulls) {
		if (n)
			note_full(s, n, seen_ms);
		s->full_estimate = now->estimate;
		return;
	}
	if (!at_rest(s, now) || now->estimate == s->full_estimate)
		return;
	s->full_estimate = now->estimate;
	note_full(s, 1, seen_ms);
}

static void settle(struct gcpoll_state *s, const struct lmt_state *entry,
		   const struct pace_point *at)
{
	bool born_traced = entry->born_ns != 0;

	if (s->settled || !(born_traced || (is_minor(s, &s->gc) ? s->fulls > 0 : s->fulls > 1)))
		return;
	if (!born_traced && !s->swept)
		return;
	s->settled = true;
	s->settled_at = *at;
}

static void note_range(struct gcpoll_state *s, uint64_t bytes, uint64_t now_ms)
{
	struct gc_range *now = &s->range[0];

	if (now_ms / 1000 != s->second || !now->high) {
		s->range[1] = *now;
		*now = (struct gc_range){ bytes, bytes };
		s->second = now_ms / 1000;
	}
	now->low = bytes < now->low ? bytes : now->low;
	now->high = bytes > now->high ? bytes : now->high;
}

struct gc_range gcpoll_range(const struct gcpoll_state *s)
{
	struct gc_range a = s->range[0], b = s->range[1];

	if (!a.high)
		return (struct gc_range){ s->gc.heap_bytes, s->gc.heap_bytes };
	if (!b.high)
		return a;
	return (struct gc_range){ a.low < b.low ? a.low : b.low, a.high > b.high ? a.high : b.high };
}

uint64_t gcpoll_floor(const struct gcpoll_state *s)
{
	if (s->floors)
		return s->floor_last;
	return at_rest(s, &s->gc) && s->gc.estimate <= s->gc.heap_bytes ? s->gc.estimate : 0;
}

static bool is_over(const struct lmt_state *entry)
{
	return __atomic_load_n(&entry->flags, __ATOMIC_ACQUIRE) & (LMT_STATE_DEAD | LMT_STATE_CLOSING);
}

/*
 * A closed state's memory may be readable still, but means nothing, whether it was closed before
 * the reading or meanwhile. One that is being made is none yet.
 */
static bool read_now(struct gcpoll_state *s, const struct lmt_state *entry, struct state_gc *now)
{
	bool over = is_over(entry), good = !over && states_read_gc(s->mem, s->layout, s->G, now);

	if (good && !is_over(entry)) {
		if (!s->built) {
			s->gc = *now;
			s->full_estimate = now->estimate;
		}
		s->built = true;
		return true;
	}
	s->gone = over || good || s->built || ++s->tries == BUILD_TRIES;
	return false;
}

static void poll_one(struct gcpoll_state *s, struct lmt_state *entry, uint64_t now_ms, bool always)
{
	uint64_t work = entry->allocs + entry->c_takes, seen_ms;
	uint64_t calls = work + entry->frees + entry->reallocs;
	struct pace_point at = { now_ms, work, entry->old_frees };
	uint32_t cycles_before = s->cycles, fulls;
	struct state_gc now;

	if (calls == s->calls && s->polled && !always)
		return; /* a collector works when its program allocates */
	s->calls = calls;
	s->polled = true;
	if (!s->pace)
		s->pace = calloc(1, sizeof(*s->pace));
	s->gone |= !s->pace;
	if (s->gone || !read_now(s, entry, &now)) {
		s->polled = false; /* also if nothing happens: look again */
		return;
	}
	seen_ms = s->pace->n ? s->pace->p[s->pace->n - 1].ms : now_ms;
	/* In this order: of a collection that begins now, the flip comes later. */
	fulls = count_cycles(s, entry, now.white != s->gc.white, now_ms);
	note_collections(s, &now, s->cycles - cycles_before, fulls, seen_ms);
	note_range(s, now.heap_bytes, now_ms);
	gc_stall_note(&s->stall, now_ms, now.heap_bytes, s->cycles != cycles_before, now.stopped);
	heap_trend_note(&s->trend, now_ms, now.heap_bytes, s->cycles != cycles_before);
	s->gc = now;
	if (!s->swept && at_rest(s, &now) && s->cycles) {
		s->floor_last = now.heap_bytes;
		if (!s->floors++)
			s->floor_first = now.heap_bytes;
	}
	s->swept |= at_rest(s, &now);
	pace_add(s->pace, &at);
	settle(s, entry, &at);
}

void gcpoll_run(struct gcpoll *p, struct lmt_state *table, uint32_t n, uint64_t now_ms)
{
	vec_each(s, &p->states)
		if (!s->gone && s->index < n)
			poll_one(s, &table[s->index], now_ms, p->always);
}

uint64_t gcpoll_string_table(const struct gcpoll_state *s)
{
	struct lmt_cell at = s->layout->family == LMT_FAMILY_PUC ? s->layout->G_hash
								 : s->layout->G_strtab;
	uint64_t ret;

	return !s->gone && layout_has(at) && memread_uint(s->mem, s->G + (uint64_t)at.off, at.size, &ret)
		       ? ret : 0;
}

/* How many of the stretches lie before the latest full collection. */
static uint32_t certified(const struct gcpoll_state *s, const struct age_window *w)
{
	uint32_t n = 0;

	if (!is_minor(s, &s->gc))
		return COHORTS;
	while (s->fulls && n < COHORTS && w->edge_ms[n + 1] <= s->full_ms)
		n++;
	return n;
}

static double turnover(const struct pace_point *from, const struct pace_point *to)
{
	return to->work > from->work ? (double)(to->old_frees - from->old_frees) /
				       (double)(to->work - from->work) : 0;
}

void gcpoll_window(const struct gcpoll_state *s, struct age_window *ret)
{
	uint32_t lag = COHORT_CYCLES + !s->swept;
	const struct pace_point *now;
	struct pace_point from, to, half;

	*ret = (struct age_window){ .swept = s->swept };
	if (s->cycles < lag || !s->pace)
		return;
	ret->known = true;
	ret->cycle = s->cycles - lag;
	now = &s->pace->p[s->pace->n - 1];
	from = s->pace->p[0];
	to = pace_at(s->pace, s->flip_ms[(ret->cycle + 1) % GCPOLL_FLIPS]);
	ret->work = to.work - from.work;
	ret->share = now->work > from.work ? (double)ret->work / (double)(now->work - from.work) : 0;
	for (unsigned int i = 0; i <= COHORTS; i++)
		ret->edge_ms[i] = pace_when(s->pace, from.work + ret->work * i / COHORTS);
	ret->generational = is_minor(s, &s->gc);
	ret->cycles = ret->generational ? s->fulls : ret->cycle + 1;
	ret->certified = certified(s, ret);
	ret->settled = s->settled && now->work > s->settled_at.work;
	if (!ret->settled)
		return;
	half = pace_at(s->pace, ret->edge_ms[COHORTS / 2]);
	ret->turnover = turnover(&s->settled_at, now);
	ret->late_turnover = half.work > s->settled_at.work ? turnover(&half, now) : ret->turnover;
}
