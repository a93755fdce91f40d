/* SPDX-License-Identifier: MIT */
/* Each allocator call, as it comes out of the ring, for those who want to see it (--trace). */
#include "session_calls.h"

#include "report/calls.h"

static const char *known(const struct session *s, uint32_t id)
{
	return id ? strpool_get(s->names.strings, id) : NULL;
}

static bool shown(const struct session *s, const struct heap_state *st, uint64_t bytes)
{
	const struct trace_config *cfg = &s->cfg;

	return (!cfg->only_state || (st && st->number == cfg->only_state)) &&
	       bytes >= cfg->min_size && (!cfg->max_size || bytes <= cfg->max_size);
}

static void set_place(struct session *s, const struct heap_state *st, uint32_t site,
		      struct report_call *c)
{
	uint32_t n, place = live_site_of(s->live, site);
	const struct lmt_site *sites = live_sites(s->live, &n);
	struct frame f;
	enum block_kind kind;

	if (!place || place >= n)
		return;
	f = heap_get_frame(&s->heap, place);
	c->frame = (struct report_frame){ .lua = known(s, f.where), .name = known(s, f.name),
					  .approx = f.approx };
	kind = st ? heap_kind(&s->heap, st, place, sites[place].tag) : KIND_UNKNOWN;
	c->kind = kind == KIND_UNKNOWN ? NULL : kind_name(kind);
}

int session_on_call(struct session *s, const struct lmt_call_event *e)
{
	const struct heap_state *st = heap_find_state(&s->heap, e->e.state);
	struct report_call c = {
		.realtime_ns = session_realtime(s, e->e.time_ns),
		.since_start_ns = e->e.time_ns - live_start_ns(s->live),
		.pid = (pid_t)e->e.tgid,
		.tid = (pid_t)e->e.tid,
		.state = st ? st->number : 0,
		.op = e->op,
		.ptr = e->e.arg0,
		.old_ptr = e->e.arg1,
		.osize = e->osize,
		.nsize = e->nsize,
	};

	if (!shown(s, st, e->op == LMT_CALL_FREE ? e->osize : e->nsize))
		return 0;
	set_place(s, st, e->site, &c);
	sinks_on_call(s, &c);
	return 0;
}
