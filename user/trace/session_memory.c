/* SPDX-License-Identifier: MIT */
#include "session_memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "census/chunks.h"
#include "census/glibc.h"
#include "discover/resident.h"
#include "discover/task.h"
#include "session.h"

#define MS 1000000ull
#define EVERY_NS (1000 * MS)
#define FRESH_NS (500 * MS)
#define COST_SHARE 50            /* then it rests so many times as long as it took */
#define LOOK_CPU_NS (20 * MS)    /* for all targets in one look */
#define REPORT_CPU_NS (500 * MS) /* …and before a report */
#define WALK_BYTES (512ull << 20) /* of heaps; of larger ones it is not told what is free… */
#define READ_BYTES (2 * WALK_BYTES) /* …and of those that take more reading than that */
#define TRIES 3                  /* a heap may change while it is read */
#define RECENT_STEP_MS 1000
#define WHOLE_STEP_MS 4000

/* What is measured of one target, before it becomes a point. */
struct measure {
	struct session *s;
	struct session_target *t;
	struct window *w;
	struct resident r;
	uint64_t lua, garbage, free_bytes, overhead;
	bool free_known;
};

static bool is_open(const struct measure *m, const struct heap_state *h)
{
	return h->pid == m->t->target->pid && !h->closed && !h->ended;
}

/* What the VMs count, and what of it their latest collections would not have kept. */
static void sum_states(struct measure *m)
{
	vec_each(h, &m->s->heap.states) {
		struct gcpoll_state *poll;
		uint64_t floor;

		if (!is_open(m, h) || !h->heap_known || !h->number)
			continue;
		poll = gcpoll_find(&m->s->gc, h->index);
		floor = poll && !poll->gone ? gcpoll_floor(poll) : 0;
		floor = floor && floor < h->heap_bytes ? floor : h->heap_bytes;
		m->lua += floor;
		m->garbage += h->heap_bytes - floor;
	}
}

/* LuaJIT's own allocator has its memory from mmap(), for each state apart. */
static void measure_luajit(struct measure *m)
{
	vec_each(h, &m->s->heap.states) {
		struct gcpoll_state *poll = NULL;
		struct chunks_usage u = { 0 };
		bool ok = false;

		if (is_open(m, h) && h->layout && h->layout->family == LMT_FAMILY_LUAJIT)
			poll = gcpoll_find(&m->s->gc, h->index);
		for (int i = 0; poll && !poll->gone && !ok && i < TRIES; i++)
			ok = chunks_measure(m->w, poll->gc.ud, &u);
		if (!ok)
			continue;
		m->free_bytes += u.free_bytes;
		m->overhead += u.chunks * CHUNK_HEAD;
		m->free_known = true;
	}
}

static void measure_glibc(struct measure *m)
{
	struct glibc_usage u = { 0 };

	vec_each(heap, &m->r.heaps) {
		bool ok = false;

		for (int i = 0; !ok && i < (heap->brk ? TRIES : 1); i++)
			ok = glibc_read(NULL, m->w, heap->start, heap->end, heap->brk, &u);
		m->free_known |= ok;
	}
	m->free_bytes += u.free_bytes;
	m->overhead += u.chunks * GLIBC_CHUNK_HEAD;
}

static void measure_free(struct measure *m)
{
	if (m->r.bytes[RESIDENT_HEAP] > WALK_BYTES)
		return;
	m->w = window_new(&m->t->mem, READ_BYTES);
	if (!m->w)
		return;
	measure_luajit(m);
	measure_glibc(m);
	m->free_known &= m->w->left > 0;
	free(m->w);
}

/* Takes as much of *from as there is. */
static uint64_t take(uint64_t *from, uint64_t bytes)
{
	bytes = bytes < *from ? bytes : *from;
	*from -= bytes;
	return bytes;
}

/* The heap falls into what Lua has, what is free, and what remains: other code's. */
static void divide(const struct measure *m, struct memory_point *p)
{
	const uint64_t *use = m->r.bytes;
	uint64_t heap = use[RESIDENT_HEAP];
	struct task_rss rss;

	p->part[MEMORY_LUA] = take(&heap, m->lua);
	p->part[MEMORY_GARBAGE] = take(&heap, m->garbage);
	p->part[MEMORY_FREE] = take(&heap, m->free_bytes);
	p->part[MEMORY_OVERHEAD] = take(&heap, m->overhead);
	p->part[MEMORY_NATIVE] = heap;
	p->part[MEMORY_CODE] = use[RESIDENT_MACHINE_CODE];
	p->part[MEMORY_STACK] = use[RESIDENT_STACK];
	p->part[MEMORY_FILE] = use[RESIDENT_FILE] + use[RESIDENT_DATA];
	p->part[MEMORY_SHARED] = use[RESIDENT_SHARED];
	p->rss = m->r.total;
	/* Of a process with ever so many mappings not all were looked at. */
	if (!m->r.whole && task_read_rss(m->t->target->pid, &rss) && rss.total > p->rss) {
		p->part[MEMORY_REST] = rss.total - p->rss;
		p->rss = rss.total;
	}
}

static int measure_target(struct session *s, struct session_target *t, struct memory_point *p,
			  bool *free_known)
{
	struct measure m = { .s = s, .t = t };
	int rc = resident_read(t->target->pid, &m.r);

	if (!rc) {
		sum_states(&m);
		measure_free(&m);
		divide(&m, p);
		*free_known = m.free_known;
	}
	resident_deinit(&m.r);
	return rc;
}

static void look_at(struct session *s, struct session_target *t, uint64_t now)
{
	struct memory_point p = { .ms = (now - s->clock.start_ns) / MS };
	uint64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID), took;
	struct target_memory *m = t->memory;

	if (!m) {
		m = t->memory = calloc(1, sizeof(*m));
		if (!m)
			return;
		m->recent.step_ms = RECENT_STEP_MS;
		m->whole.step_ms = WHOLE_STEP_MS;
	}
	if (!measure_target(s, t, &p, &m->free_known)) {
		headroom_limit("", t->target->pid, &m->limit);
		memory_series_roll(&m->recent, &p);
		memory_series_add(&m->whole, &p);
	}
	took = (clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu) * COST_SHARE;
	m->next_ns = now + (took > EVERY_NS ? took : EVERY_NS);
}

void session_memory_look(struct session *s, bool all)
{
	uint64_t begun = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	uint64_t limit = all ? REPORT_CPU_NS : LOOK_CPU_NS;
	size_t n = s->targets.all.n;

	for (size_t i = 0; i < n && clock_ns(CLOCK_THREAD_CPUTIME_ID) - begun < limit; i++) {
		struct session_target *t = &s->targets.all.v[s->targets.next_memory++ % n];
		uint64_t now = clock_ns(CLOCK_MONOTONIC), due;

		if (session_target_ended(t) || !t->resolved->runtimes.n)
			continue;
		due = t->memory ? t->memory->next_ns - (all ? EVERY_NS - FRESH_NS : 0) : 0;
		if (now >= due)
			look_at(s, t, now);
	}
}

void session_memory_find(struct session *s, uint64_t now_ns)
{
	vec_each(t, &s->targets.all) {
		const struct target_memory *m = t->memory;

		if (m && !session_target_ended(t))
			detect_native_growth(&s->findings, t->target->pid, &m->recent, &m->whole,
					     now_ns);
	}
}

const struct memory_point *session_memory_of(const struct session_target *t)
{
	const struct memory_series *s = t->memory ? &t->memory->recent : NULL;

	return s && s->n ? &s->p[s->n - 1] : NULL;
}
