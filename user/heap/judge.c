/* SPDX-License-Identifier: MIT */
#include "judge.h"

#define OF_ONE_TRACE 8 /* objects of one line that a trace may hold as constants */

/*
 * What the VM keeps for itself and gives back in its own time: machine code, up to its limit, and
 * the records of nested calls, which stay for the next deep recursion.
 */
static bool is_of_vm(const struct heap_site *s, const struct heap_state *st)
{
	uint64_t call = st->layout && st->layout->family == LMT_FAMILY_PUC &&
			st->layout->size_ci.off > 0 ? (uint64_t)st->layout->size_ci.off : 0;

	return s->kind == KIND_TRACE ||
	       (s->kind == KIND_BUFFER && call && s->live_bytes == s->live_blocks * call);
}

static void note_traces(struct heap *h, uint64_t now_ns)
{
	vec_each(st, &h->states) {
		if (!st->seen_ns)
			st->seen_ns = now_ns;
		st->trace_blocks = 0;
	}
	vec_each(s, &h->sites)
		if (s->kind == KIND_TRACE)
			h->states.v[s->state].trace_blocks += s->live_blocks;
	vec_each(st, &h->states) {
		if (st->trace_blocks <= st->most_trace_blocks)
			continue;
		st->most_trace_blocks = st->trace_blocks;
		st->traces_grew_ns = now_ns;
	}
}

/*
 * Traces hold constants of theirs (closures, strings) and are made until the program is warm, so
 * what grows beside them may level off with them: no leak while more of the time than half saw
 * their number rise, unless it is more than they can hold.
 */
static bool is_warming_up(const struct heap_site *s, const struct heap_state *st, uint64_t now_ns)
{
	uint64_t old = 0;

	for (unsigned int i = 0; i < COHORTS; i++)
		old += s->old.blocks[i];
	return st->traces_grew_ns && (now_ns - st->traces_grew_ns) * 2 < now_ns - st->seen_ns &&
	       old <= OF_ONE_TRACE * st->most_trace_blocks;
}

/*
 * Strings are interned: the same text is made again once it was collected. Such strings take the
 * place of those that predate the trace, one by one, and when none of these is left the turnover
 * is over.
 */
static struct age_window window_for(const struct heap_site *s, const struct heap_state *st)
{
	struct age_window w = st->age;

	if (s->kind == KIND_STRING && w.late_turnover < w.turnover)
		w.late_turnover = w.turnover;
	return w;
}

static void judge_site(struct heap *h, struct heap_site *s, const struct snapshot *snap)
{
	const struct heap_state *st = &h->states.v[s->state];
	struct age_window w = window_for(s, st);

	if (s->live_bytes > s->peak_bytes)
		s->peak_bytes = s->live_bytes;
	if (st->age.known)
		trend_add(&s->trend, snap->end_ns, s->old_bytes, st->age.cycle);
	survival_add(&s->survival, h->now_ms, snap->now_ms, s->allocs, &s->alive, &w);
	s->verdict = verdict_of(&s->old, &w, s->allocs, &s->trend, &s->growth_bytes_per_s);
	s->says = survival_judge(&s->survival, &w, s->live_bytes, s->live_blocks);
	s->verdict = survival_verdict(s->verdict, &s->says, &w);
	if (s->verdict < VERDICT_GROWING)
		s->growth_bytes_per_s = 0;
	else if (s->says.says == SURVIVAL_STAY)
		s->growth_bytes_per_s = s->says.growth_bytes_per_s;
	if (s->verdict == VERDICT_LEAK && (is_of_vm(s, st) || is_warming_up(s, st, snap->end_ns)))
		s->verdict = VERDICT_GROWING;
}

void judge_sites(struct heap *h, const struct snapshot *snap)
{
	note_traces(h, snap->end_ns);
	vec_each(s, &h->sites)
		if (!h->states.v[s->state].ended)
			judge_site(h, s, snap);
}
