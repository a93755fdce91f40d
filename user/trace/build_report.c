/* SPDX-License-Identifier: MIT */
#include "build_report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "build_stacks.h"
#include "resolve/gcstate.h"
#include "resolve/known_bug.h"
#include "session_budget.h"
#include "session_memory.h"

void build_report_free(struct built_report *b)
{
	vec_each(s, &b->strings)
		free(*s);
	vec_deinit(&b->strings);
	report_deinit(&b->r);
}

static const char *keep(struct built_report *b, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* A string that lives as long as the report; "" when out of memory. */
static const char *keep(struct built_report *b, const char *fmt, ...)
{
	va_list ap;
	char *text;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return "";
	if (vec_push(&b->strings, text)) {
		free(text);
		return "";
	}
	return text;
}

const char *built_report_keep(struct built_report *b, const char *text)
{
	return keep(b, "%s", text);
}

/* Of a process that has ended, as it was last. */
static void add_memory(const struct session_target *t, struct report_memory *to)
{
	const struct memory_point *now = session_memory_of(t);
	const struct memory_series *over = now ? &t->memory->recent : NULL;

	if (!now)
		return;
	to->known = true;
	to->now = *now;
	to->free_known = t->memory->free_known;
	to->growth_known = memory_growth_known(over);
	for (unsigned int p = 0; p <= MEMORY_MAX; p++)
		to->growth[p] = memory_growth(over, p);
	to->limit = t->memory->limit;
}

static int add_process(struct built_report *b, const struct session_target *t)
{
	const struct proc_info *i = &t->target->info;
	struct report_process p = {
		.pid = t->target->pid,
		.parent = t->parent,
		.comm = i->comm,
		.exe = i->exe,
		.container = i->container,
		.start_realtime_ns = i->start_realtime_ns,
		.ended = session_target_ended(t),
	};

	add_memory(t, &p.memory);
	return vec_push(&b->r.processes, p);
}

static int add_function(struct built_report *b, struct report_runtime *to, const struct runtime *rt,
			const struct plan_function *f)
{
	const struct func_answer *a = &rt->fn[f->id];
	struct report_function out = {
		.name = func_name(f->id),
		.placed = f->placed,
		.insn = f->place.insn,
		.emulated = f->place.emulated,
		.probed = f->probed,
		.why_not = f->probed ? NULL : f->why_not,
	};

	if (a->vaddr) {
		elf_offset_of(rt->file->elf, a->vaddr, &out.offset);
		out.how = a->agrees ? keep(b, "%s + %s", a->how, a->agrees) : a->how;
	}
	if (f->placed)
		elf_offset_of(rt->file->elf, f->place.vaddr, &out.site_offset);
	return vec_push(&to->functions, out);
}

static int add_runtime(struct built_report *b, const struct session_target *t,
		       const struct runtime *rt, bool with_functions)
{
	char title[64];
	struct report_runtime out = {
		.pid = t->target->pid,
		.runtime = rt->id,
		.family = rt->family == LMT_FAMILY_LUAJIT ? "luajit" : "puc",
		.version = rt->version,
		.variant = rt->variant,
		.module = rt->module,
		.build_id = elf_build_id(rt->file->elf),
		.layout = rt->layout ? rt->layout->id : NULL,
		.evidence = rt->evidence,
	};
	int rc = 0;

	if (with_functions) {
		out.bug = rt->bug;
		out.bug_certain = rt->bug_certain;
	}
	runtime_title(rt, title, sizeof(title));
	out.title = keep(b, "%s", title);
	for (size_t i = 0; !rc && with_functions && t->plan && i < t->plan->functions.n; i++)
		if (t->plan->functions.v[i].runtime == rt->id)
			rc = add_function(b, &out, rt, &t->plan->functions.v[i]);
	return rc ? rc : vec_push(&b->r.runtimes, out);
}

static const char *allocator_text(struct built_report *b, const struct session_target *t,
				  const struct resolved_state *rs)
{
	const struct allocator *a = &t->resolved->allocators.v[rs->allocator];

	if (a->built_in)
		return a->name;
	if (!a->file)
		return keep(b, "custom, at 0x%llx outside any file", (unsigned long long)a->uaddr);
	if (a->name)
		return keep(b, "custom: %s in %s", a->name, a->module);
	return keep(b, "custom: %s+0x%llx", a->module, (unsigned long long)a->vaddr);
}

/* States as discovery saw them, numbered in order of address. */
static int add_found_states(struct built_report *b, const struct session_target *t,
			    uint32_t *number)
{
	vec_each(rs, &t->resolved->states) {
		struct report_state s = {
			.pid = t->target->pid,
			.state = ++*number,
			.runtime = rs->runtime,
			.L = rs->L,
			.g = rs->G,
			.allocator = allocator_text(b, t, rs),
			.heap_known = true,
			.heap_bytes = rs->gc.heap_bytes,
			.gc_state =
				rs->layout ? gcstate_name(&rs->layout->l, rs->gc.gcstate) : NULL,
			.before_attach = true,
		};

		if (vec_push(&b->r.states, s))
			return -ENOMEM;
	}
	return 0;
}

void build_report_header(const struct session *s, struct report *r)
{
	static struct utsname uts;

	uname(&uts);
	r->kernel = uts.release;
	r->command = s->cfg.command_line;
	r->start_realtime_ns = s->clock.start_realtime_ns;
	r->end_realtime_ns = s->clock.start_realtime_ns;
}

/* Many processes run the same program: said once. */
static int add_blind_spot(struct built_report *b, const char *text)
{
	vec_each(spot, &b->r.blind_spots)
		if (!strcmp(*spot, text))
			return 0;
	return vec_push(&b->r.blind_spots, text);
}

int build_report_static(struct session *s, bool with_functions, bool only_new,
			struct built_report *b)
{
	uint32_t number = 0;
	int rc = past_report(&s->targets.past, only_new, !b->whole, s->names.strings, &b->r);

	build_report_header(s, &b->r);
	for (struct session_target *t = s->targets.all.v;
	     !rc && t < s->targets.all.v + s->targets.all.n; t++) {
		size_t first = only_new ? t->reported_runtimes : 0;

		if (!session_shows_target(s, t))
			continue;
		if (!only_new || !t->reported_runtimes || b->r.last ||
		    (t->memory && !session_target_ended(t)))
			rc = add_process(b, t);
		if (!b->whole)
			t->reported_runtimes = t->resolved->runtimes.n;
		for (size_t i = first; !rc && i < t->resolved->runtimes.n; i++)
			rc = add_runtime(b, t, &t->resolved->runtimes.v[i], with_functions);
		if (!rc && !s->attach)
			rc = add_found_states(b, t, &number);
		for (size_t i = 0; !rc && t->plan && i < t->plan->blind_spots.n; i++)
			rc = add_blind_spot(b, t->plan->blind_spots.v[i]);
	}
	return rc;
}

static bool shows_state(const struct session *s, const struct heap_state *h)
{
	/* The process-wide entry says something only when something could not be attributed. */
	if (!h->number && !h->st.allocs && !h->st.frees && !h->st.reallocs && !h->st.failures)
		return false;
	if (s->cfg.only_state && h->number != s->cfg.only_state)
		return false;
	return true;
}

static void add_stall(const struct gc_stall *stall, struct report_state *to)
{
	struct gc_stall_rate still;

	if (!gc_stall_rate(stall, &still))
		return;
	to->collector = still.stopped ? "stopped" : "rare";
	to->still_s = still.seconds;
	to->growth_bytes_per_s = still.bytes_per_s;
}

static int add_state(struct session *s, struct built_report *b, struct heap_state *h)
{
	const struct session_target *t = session_target_of_pid(s, h->pid);
	const struct resolved_state *rs = t ? resolved_state_at(t->resolved, h->st.main) : NULL;
	struct gcpoll_state *poll = h->ended ? NULL : gcpoll_find(&s->gc, h->index);
	struct report_state out = {
		.pid = h->pid,
		.state = h->number,
		.runtime = h->runtime,
		.label = h->summed_up ? "closed" : h->label ? strpool_get(s->names.strings, h->label) : NULL,
		.L = h->st.main,
		.g = h->st.g,
		.allocator = rs && h->number ? allocator_text(b, t, rs) : NULL,
		.heap_known = h->heap_known && h->number && !h->closed,
		.heap_bytes = h->heap_bytes,
		.heap_at_attach = h->heap_at_attach,
		.live_bytes = h->live_bytes,
		.live_blocks = h->live_blocks,
		.allocs = h->st.allocs,
		.frees = h->st.frees,
		.reallocs = h->st.reallocs,
		.failures = h->st.failures,
		.alloc_bytes = h->st.alloc_bytes,
		.gc_cycles = h->gc_cycles,
		.gc_known = h->number != 0 && !h->summed_up,
		.before_attach = h->before_attach,
		.old_free_bytes = h->st.old_free_bytes,
		.lost_blocks = h->st.lost_blocks,
		.lost_bytes = h->st.lost_bytes,
	};

	if (poll && !poll->gone && out.heap_known && heap_is_active(&s->heap, h))
		add_stall(&poll->stall, &out);
	if (poll && !poll->gone && h->layout)
		out.gc_state = gcstate_name(h->layout, poll->gc.gcstate);
	if (poll && !poll->gone && out.heap_known) {
		struct gc_range range = gcpoll_range(poll);

		out.heap_low = range.low;
		out.heap_high = range.high;
		out.heap_floor = gcpoll_floor(poll);
	}
	if (!h->before_attach)
		out.born_realtime_ns = session_realtime(s, h->st.born_ns);
	if (h->closed)
		out.closed_realtime_ns = session_realtime(s, h->st.close_ns);
	else if (t && t->ended_ns) /* with its process */
		out.closed_realtime_ns = session_realtime(s, t->ended_ns);
	return vec_push(&b->r.states, out);
}

/* In interval reports a closed state appears once; in the last one all appear. */
static int add_live_states(struct session *s, struct built_report *b)
{
	vec_each(h, &s->heap.states) {
		uint64_t known = h->st.old_free_bytes + h->st.adopted_bytes;

		b->r.events += h->st.allocs + h->st.frees + h->st.reallocs + h->st.failures;
		if (h->heap_at_attach > known && !h->closed)
			b->r.predates_attach_bytes += h->heap_at_attach - known;
		if (!shows_state(s, h) || (h->reported_closed && !b->r.last && !b->whole))
			continue;
		if (!b->whole)
			h->reported_closed = h->closed;
		if (add_state(s, b, h))
			return -ENOMEM;
	}
	return 0;
}

/* Were only some of the blocks asked for? What a site allocated in all does not answer that. */
static bool chooses_blocks(const struct trace_config *cfg)
{
	return cfg->older_ms || cfg->min_size || cfg->max_size;
}

static int add_site(struct session *s, struct built_report *b, const struct heap_site *h)
{
	const struct heap_state *st = &s->heap.states.v[h->state];
	struct report_site out = {
		.pid = st->pid,
		.state = st->number,
		.kind = kind_name(h->kind),
		.below = h->below,
		.live_bytes = h->live_bytes,
		.live_blocks = h->live_blocks,
		.old_bytes = h->old_bytes,
		.peak_bytes = h->peak_bytes,
		.reallocs = h->reallocs,
		.temporary_bytes = heap_temporary(&s->heap, h),
		.allocs = h->allocs,
		.alloc_bytes = h->alloc_bytes,
		.survived_cycles = h->survived_cycles,
		.growth_bytes_per_s = h->growth_bytes_per_s,
		.error_pct = h->error_pct,
		.verdict = h->verdict,
	};

	if (!h->live_blocks && (!h->allocs || chooses_blocks(&s->cfg)))
		return 0;
	if (s->cfg.only_state && st->number != s->cfg.only_state)
		return 0;
	if (h->frame.where) {
		out.frame.lua = strpool_get(s->names.strings, h->frame.where);
		out.frame.name =
			h->frame.name ? strpool_get(s->names.strings, h->frame.name) : NULL;
		out.frame.approx = h->frame.approx;
	}
	if (build_site_stacks(s, b, (size_t)(h - s->heap.sites.v), &out))
		return -ENOMEM;
	return vec_push(&b->r.sites, out);
}

static int add_unseen(struct session *s, struct built_report *b)
{
	char text[512];
	int rc = 0;

	b->r.lost[LMT_STAT_ENDED_UNSEEN] = follow_unseen(&s->follow);
	for (int likely = 1; !rc && likely >= 0; likely--)
		if (follow_unseen_text(&s->follow, likely, text, sizeof(text)))
			rc = add_blind_spot(b, keep(b, "%s", text));
	return rc;
}

static bool sees_refusals(const struct plan *p)
{
	vec_each(site, &p->sites)
		if (site->probe.kind == LMT_PROBE_REFUSED)
			return true;
	return !p->sites.n; /* nothing of Lua's is here */
}

/* What no probe but the allocator's can tell. */
static int add_unseen_faults(struct session *s, struct built_report *b)
{
	int rc = 0;

	if (!s->cost.windows)
		return 0;
	vec_each(t, &s->targets.all)
		if (!rc && t->plan && !sees_refusals(t->plan))
			rc = add_blind_spot(b, keep(b, "what the allocator refuses process %d between windows (near-oom, "
						    "shrink-failure, the size of oom): where its Lua goes then was not "
						    "found in the code; -m exact sees it", t->target->pid));
	return rc ?: add_blind_spot(b, "faults between windows that only the allocators' calls tell: double-free, "
			      "foreign-free, size-mismatch, corrupt-chunk, use-after-free, outlived-close, "
			      "accounting-drift; -m exact sees them");
}

int build_report_live(struct session *s, const struct snapshot *snap, struct built_report *b)
{
	int rc = add_live_states(s, b);

	b->r.sample_bytes = live_sample_bytes(s->live);
	if (!rc)
		rc = build_frames(s, b);
	for (size_t i = 0; !rc && i < s->heap.sites.n; i++)
		rc = add_site(s, b, &s->heap.sites.v[i]);
	if (!rc)
		rc = build_findings(s, snap->end_ns, b);
	if (rc)
		return rc;
	report_sort_sites(&b->r, s->cfg.sort);
	b->r.active = true;
	session_budget_report(s, &b->r);
	b->r.top = s->cfg.top;
	memcpy(b->r.lost, snap->stats, sizeof(b->r.lost));
	b->r.end_realtime_ns = session_realtime(s, snap->end_ns);
	rc = add_unseen(s, b) ?: add_unseen_faults(s, b);
	return rc || !b->r.last ? rc : sinks_add_to_last(s, &b->r);
}
