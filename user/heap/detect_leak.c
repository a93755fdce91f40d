/* SPDX-License-Identifier: MIT */
/*
 * leak: what a place in the Lua code keeps alive grows over garbage collections and does not level
 * off. The judgement is verdict.c's; here it becomes one finding for each place.
 */
#include "detect.h"

/* Until a leak is reported: a cache that fills looks the same, but not for long. */
#define LASTS_NS 10000000000ull

/*
 * What was seen to grow and has levelled off since, or is gone, was a cache that filled. That it
 * is not sure any more is no such thing.
 */
bool detect_has_ceased(const struct heap_site *s, const struct heap_state *st)
{
	return s->verdict == VERDICT_STABLE || (st->age.known && !s->old_bytes);
}

/* At the end there is nothing more to wait for. */
static bool has_lasted(struct heap_site *s, const struct heap_state *st, uint64_t now_ns, bool last)
{
	if (!s->leaks_since_ns)
		s->leaks_since_ns = now_ns;
	return last || st->ended || now_ns - s->leaks_since_ns >= LASTS_NS;
}

void detect_leak(struct findings *fs, struct heap *h, const struct snapshot *snap, bool last)
{
	for (size_t i = 0; i < h->sites.n; i++) {
		struct heap_site *s = &h->sites.v[i];
		const struct heap_state *st = &h->states.v[s->state];
		struct finding *f;

		if (st->closed || s->kind == KIND_C_HEAP)
			continue;
		if (detect_has_ceased(s, st)) {
			finding_withdraw(fs, FINDING_LEAK, s->id);
			s->leaks_since_ns = 0;
		}
		if (s->verdict != VERDICT_LEAK || !has_lasted(s, st, snap->end_ns, last))
			continue;
		f = finding_make(fs, FINDING_LEAK, s->id);
		if (!f)
			return;
		if (!f->time_ns)
			f->time_ns = snap->end_ns;
		f->severity = SEVERITY_ERROR;
		f->confidence = s->frame.where ? CONFIDENCE_CERTAIN : CONFIDENCE_LIKELY;
		f->pid = st->pid;
		f->state = st->number;
		f->frame = s->frame;
		f->below = s->below;
		f->stack = heap_main_stack(h, s);
		f->count = s->live_blocks;
		evidence_number(f, "bytes", s->live_bytes);
		evidence_number(f, "blocks", s->live_blocks);
		evidence_number(f, "survived_cycles", s->survived_cycles);
		evidence_rate(f, "growth_bytes_per_s", s->growth_bytes_per_s);
		evidence_text(fs, f, "object", kind_name(s->kind));
		evidence_path(f, "path", s->holder);
		finding_say(fs, f, "what this line allocates is never let go: %llu blocks (%llu bytes) outlived "
			    "up to %u %s and grow by %.0f bytes a second",
			    (unsigned long long)s->live_blocks, (unsigned long long)s->live_bytes,
			    s->survived_cycles, st->rare
				? "garbage collections, or looks at the heap in place of a collector that hardly runs,"
				: "garbage collections", s->growth_bytes_per_s);
		finding_advise(fs, f, "find what still refers to these objects (a table that is only added to, "
			       "a registry reference, a closure): 'luamemtrace census -p %d'", st->pid);
	}
}
