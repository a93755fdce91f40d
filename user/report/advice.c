/* SPDX-License-Identifier: MIT */
#include "advice.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/fmt.h"
#include "collect/cohort.h"

#define CYCLES_NEEDED COHORT_CYCLES /* before anything is old */
#define MADE_BYTES (64u << 10) /* without a line, to be worth asking who made them */
#define CALM_S 20
#define CALM_RATE 1024         /* bytes a second: less is no growth that people care for… */
#define CALM_SHARE 5e-4        /* …nor is that part of the whole a second */
#define CHEAP_PCT 20           /* what exact may cost, to be advised */
#define OLD_BYTES (8ull << 20) /* …and half of the heaps, to be worth a census */

static double seconds_of(const struct report *r)
{
	return (double)(r->end_realtime_ns - r->start_realtime_ns) / 1e9;
}

static bool is_busy(const struct report_state *s)
{
	return s->state && !s->closed_realtime_ns && s->allocs && s->heap_known;
}

/* The state that most is allocated in, of those that are open; NULL: none allocates. */
static const struct report_state *busiest(const struct report *r)
{
	const struct report_state *ret = NULL;

	vec_each(s, &r->states)
		if (is_busy(s) && (!ret || s->alloc_bytes > ret->alloc_bytes))
			ret = s;
	return ret;
}

static void few_cycles(const struct report *r, char *buf, size_t size)
{
	const struct report_state *s = busiest(r);
	double spent = seconds_of(r);

	if (!s || !s->gc_known || s->gc_cycles >= CYCLES_NEEDED || s->collector || r->findings.n)
		return;
	if (!s->gc_cycles)
		snprintf(buf, size, "no garbage collection was completed in %.0f s, so that what leaks cannot "
			 "be told from what is garbage: look longer (-d 5m)", spent);
	else
		snprintf(buf, size, "%" PRIu32 " garbage collection%s seen in state %" PRIu32 ", a leak "
			 "needs three: about %.0f s more", s->gc_cycles, s->gc_cycles == 1 ? " was" : "s were",
			 s->state, ceil(spent / s->gc_cycles * (CYCLES_NEEDED - s->gc_cycles)));
}

/* Much of what is alive has no line, and C functions were not asked for. */
static void made_by_c(const struct report *r, char *buf, size_t size)
{
	uint64_t all = 0, without = 0;

	vec_each(f, &r->frames)
		if (f->native)
			return;
	vec_each(s, &r->sites) {
		all += s->live_bytes;
		without += s->frame.lua ? 0 : s->live_bytes;
	}
	if (without >= MADE_BYTES && without >= all / 4)
		snprintf(buf, size, "a large part has no Lua line, C code made it: --native names the functions");
}

static void exact_is_cheap(const struct report *r, char *buf, size_t size)
{
	if (r->windows && r->full_pct > 0 && r->full_pct <= CHEAP_PCT)
		snprintf(buf, size, "-m exact would see every call, at about %.0f %% of the target's time",
			 r->full_pct);
}

static void mostly_old(const struct report *r, char *buf, size_t size)
{
	uint64_t heaps = 0;
	struct fmtbuf b;

	vec_each(s, &r->states)
		heaps += s->closed_realtime_ns ? 0 : s->heap_bytes;
	if (r->predates_attach_bytes >= OLD_BYTES && r->predates_attach_bytes >= heaps / 2 &&
	    !r->censuses.n && r->processes.n)
		snprintf(buf, size, "%s were there before the attach: 'luamemtrace census -p %d' tells what "
			 "it is and who holds it", fmt_bytes(&b, r->predates_attach_bytes),
			 r->processes.v[0].pid);
}

/* What Lua holds rises, and nothing says which line keeps it. */
static void rises_untold(const struct report *r, char *buf, size_t size)
{
	double rate = 0;
	struct fmtbuf b;

	if (r->findings.n || seconds_of(r) < CALM_S)
		return;
	vec_each(s, &r->sites)
		if (s->verdict >= VERDICT_GROWING)
			return;
	vec_each(p, &r->processes)
		if (p->memory.growth_known && p->memory.growth[MEMORY_LUA] > rate)
			rate = p->memory.growth[MEMORY_LUA];
	if (rate >= CALM_RATE)
		snprintf(buf, size, "what Lua holds grows by %s/s, but no line was seen to keep what it makes "
			 "yet: look longer (-d 10m)%s", fmt_bytes(&b, (uint64_t)rate),
			 r->windows ? ", or at every call (-m exact)" : "");
}

static void (*const rows[])(const struct report *r, char *buf, size_t size) = {
	few_cycles, rises_untold, made_by_c, exact_is_cheap, mostly_old,
};

bool advice_text(const struct report *r, size_t i, char *buf, size_t size)
{
	if (i >= sizeof(rows) / sizeof(rows[0]) || !r->active)
		return false;
	buf[0] = '\0';
	rows[i](r, buf, size);
	return true;
}

/* Garbage and free memory come and go. */
static bool process_is_calm(const struct report_process *p)
{
	const double *g = p->memory.growth;
	double rate = g[MEMORY_MAX] - g[MEMORY_GARBAGE] - g[MEMORY_FREE] - g[MEMORY_OVERHEAD];

	return !p->memory.known || (p->memory.growth_known &&
		(rate < CALM_RATE || rate < CALM_SHARE * (double)p->memory.now.rss));
}

bool advice_calm(const struct report *r)
{
	bool calm = r->active && !r->findings.n && seconds_of(r) >= CALM_S, any = false;

	vec_each(p, &r->processes) {
		calm &= process_is_calm(p);
		any |= p->memory.known;
	}
	vec_each(s, &r->states)
		calm &= !is_busy(s) || (s->gc_cycles >= CYCLES_NEEDED && !s->collector);
	vec_each(s, &r->sites)
		calm &= (s->verdict != VERDICT_LEAK && s->verdict != VERDICT_GROWING) ||
			s->growth_bytes_per_s < CALM_RATE;
	return calm && any;
}
