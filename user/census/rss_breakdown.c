/* SPDX-License-Identifier: MIT */
#include "rss_breakdown.h"

#include <string.h>

#include "census.h"
#include "chunks.h"
#include "discover/resident.h"
#include "discover/task.h"
#include "glibc.h"
#include "window.h"

#define PAGE 4096ull

const char *rss_part_key(enum rss_part part)
{
	static const char *const key[] = {
#define RSS_PART(name, k, text) k,
		RSS_PARTS(RSS_PART)
#undef RSS_PART
	};

	return key[part];
}

const char *rss_part_text(enum rss_part part)
{
	static const char *const text[] = {
#define RSS_PART(name, k, t) t,
		RSS_PARTS(RSS_PART)
#undef RSS_PART
	};

	return text[part];
}

static const enum rss_part part_of[RESIDENT_MAX] = {
	[RESIDENT_HEAP] = RSS_HEAP,	[RESIDENT_MACHINE_CODE] = RSS_MACHINE_CODE,
	[RESIDENT_STACK] = RSS_STACKS,	[RESIDENT_DATA] = RSS_MODULES,
	[RESIDENT_FILE] = RSS_FILES,	[RESIDENT_SHARED] = RSS_SHARED,
};

/* Free in LuaJIT's segments, and there: much of it was never touched. */
static uint64_t lj_free_bytes(const struct census *c, const struct chunks *ch)
{
	uint64_t gone = 0;

	for (size_t i = 0; i < ch->n; i++) {
		const struct chunk_segment *s = &ch->segment[i];
		uint64_t at = s->start, run, end;

		while (at < s->end) {
			if (!memread_resident(c->mem, at, s->end, &run, &end))
				run = end = s->end;
			for (; at < run; at += PAGE)
				gone += chunks_is_free(ch, at + PAGE / 2) ? PAGE : 0;
			at = end;
		}
	}
	return gone < ch->free_bytes ? ch->free_bytes - gone : 0;
}

/* Takes one LuaJIT state out of the private memory: what its allocator has, and has free. */
static void take_luajit(struct census *c, const struct census_state *s, struct rss_breakdown *b)
{
	const struct resolved_state *rs = &c->resolved->states.v[s->index];
	struct walk w = { .im = &c->copier.im, .row = s->row, .l = &s->row->l, .c = &s->row->c };
	struct chunks ch;

	w.g = image_at(w.im, rs->G, (uint64_t)w.l->size_G.off);
	if (!w.g || chunks_read(&ch, &w))
		return;
	if (ch.n) {
		int64_t free_bytes = (int64_t)lj_free_bytes(c, &ch);
		int64_t round = (int64_t)ch.used_bytes - (int64_t)s->vm_bytes;

		/* Big blocks have mappings of their own; then there is no rounding to tell. */
		if (round < 0)
			round = 0;
		b->bytes[RSS_LJ_FREE] += free_bytes;
		b->bytes[RSS_LJ_ROUND] += round;
		b->bytes[RSS_HEAP] -= free_bytes + round;
	}
	chunks_deinit(&ch);
}

void rss_breakdown_build(struct census *c, struct rss_breakdown *b)
{
	struct task_rss rss;

	*b = (struct rss_breakdown){ 0 };
	if (!task_read_rss(c->target->pid, &rss))
		return;
	vec_each(m, &c->copier.maps.maps) {
		uint64_t bytes = resident_counts(m) ? window_resident(c->mem, m->start, m->end) : 0;

		b->bytes[part_of[resident_use_of(m)]] += (int64_t)bytes;
		b->bytes[RSS_HEAP_FREE] += (int64_t)glibc_free_bytes(&c->copier.im, c->mem, m);
	}
	b->bytes[RSS_HEAP] -= b->bytes[RSS_HEAP_FREE];
	vec_each(s, &c->states) {
		if (!s->done)
			continue;
		b->bytes[RSS_LUA] += (int64_t)s->vm_bytes;
		b->bytes[RSS_ABSENT] -= (int64_t)s->absent_bytes;
		b->bytes[RSS_HEAP] -= (int64_t)(s->vm_bytes - s->absent_bytes);
		if (s->row->l.family == LMT_FAMILY_LUAJIT)
			take_luajit(c, s, b);
	}
	b->rss_bytes = rss.total;
	b->bytes[RSS_REST] = (int64_t)rss.total;
	for (unsigned int i = 0; i < RSS_REST; i++)
		b->bytes[RSS_REST] -= b->bytes[i];
}
