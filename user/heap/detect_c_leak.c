/* SPDX-License-Identifier: MIT */
/*
 * c-leak: memory that C code took from malloc() on behalf of a line of Lua, and that nobody gave
 * back: it outlives garbage collections and grows without levelling off, judged as Lua's own is.
 */
#include "detect.h"

static const char *text_of(const struct findings *fs, uint32_t id)
{
	return id ? strpool_get(fs->strings, id) : NULL;
}

void detect_c_leak(struct findings *fs, struct heap *h, const struct snapshot *snap, bool last)
{
	(void)last;
	for (size_t i = 0; i < h->sites.n; i++) {
		const struct heap_site *s = &h->sites.v[i];
		const struct heap_state *st = &h->states.v[s->state];
		struct finding *f;

		if (st->closed || s->kind != KIND_C_HEAP)
			continue;
		if (detect_has_ceased(s, st))
			finding_withdraw(fs, FINDING_C_LEAK, s->id);
		if (s->verdict != VERDICT_LEAK)
			continue;
		f = finding_make(fs, FINDING_C_LEAK, s->id);
		if (!f)
			return;
		if (!f->time_ns)
			f->time_ns = snap->end_ns;
		f->severity = SEVERITY_ERROR;
		f->confidence = CONFIDENCE_LIKELY;
		f->pid = st->pid;
		f->state = st->number;
		f->frame = s->frame;
		f->below = s->below;
		f->stack = heap_stack_of(h, s->c_site);
		f->count = s->live_blocks;
		evidence_number(f, "bytes", s->live_bytes);
		evidence_number(f, "blocks", s->live_blocks);
		evidence_text(fs, f, "function", text_of(fs, s->c_function));
		evidence_text(fs, f, "module", text_of(fs, s->c_module));
		evidence_number(f, "survived_cycles", s->survived_cycles);
		evidence_rate(f, "growth_bytes_per_s", s->growth_bytes_per_s);
		finding_say(fs, f, "C code called here (%s) takes memory from malloc() that nobody gives back: "
			    "%llu blocks (%llu bytes) outlived up to %u garbage collections and grow by "
			    "%.0f bytes a second", s->c_function ? text_of(fs, s->c_function) : "of unknown name",
			    (unsigned long long)s->live_blocks,
			    (unsigned long long)s->live_bytes, s->survived_cycles,
			    s->growth_bytes_per_s);
		finding_advise(fs, f, "look in that C function for a missing free(), or for an object of "
			       "Lua's (userdata, cdata) that owns the memory and has no __gc");
	}
}
