/* SPDX-License-Identifier: MIT */
/* One JSON object a line; the fields are a contract (docs/JSON.md) and only ever grow. */
#include "format.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include "advice.h"
#include "base/fmt.h"
#include "findings.h"
#include "heaps.h"
#include "jsonw.h"
#include "memory.h"

#define SCHEMA 2

static void write_time(struct jsonw *w, const char *key, uint64_t realtime_ns)
{
	struct fmtbuf b;

	if (realtime_ns)
		jsonw_str(w, key, fmt_rfc3339(&b, realtime_ns));
}

void json_write_header(const struct report *r, FILE *out)
{
	struct jsonw w;

	jsonw_begin(&w, out);
	jsonw_str(&w, "type", "header");
	jsonw_u64(&w, "schema", SCHEMA);
	jsonw_str(&w, "version", LMT_VERSION);
	write_time(&w, "start", r->start_realtime_ns);
	jsonw_str_known(&w, "mode", r->mode);
	jsonw_str_known(&w, "kernel", r->kernel);
	jsonw_str_known(&w, "command", r->command);
	jsonw_end(&w);
}

static void write_process(const struct report_process *p, FILE *out)
{
	struct jsonw w;

	jsonw_begin(&w, out);
	jsonw_str(&w, "type", "process");
	jsonw_u64(&w, "pid", (uint64_t)p->pid);
	jsonw_str_known(&w, "comm", p->comm);
	jsonw_str_known(&w, "exe", p->exe);
	write_time(&w, "start_time", p->start_realtime_ns);
	jsonw_str_known(&w, "container", p->container);
	if (p->parent)
		jsonw_u64(&w, "parent", (uint64_t)p->parent);
	memory_write_json(&p->memory, &w);
	jsonw_end(&w);
}

static void write_function(struct jsonw *w, const struct report_function *f)
{
	jsonw_object(w, NULL);
	jsonw_str(w, "name", f->name);
	if (f->offset)
		jsonw_u64(w, "offset", f->offset);
	jsonw_str_known(w, "how", f->how);
	if (f->placed) {
		jsonw_u64(w, "site_offset", f->site_offset);
		jsonw_str_known(w, "insn", f->insn);
		jsonw_bool(w, "emulated", f->emulated);
	}
	jsonw_bool(w, "probed", f->probed);
	jsonw_str_known(w, "why_not", f->why_not);
	jsonw_close(w, '}');
}

static void write_runtime(const struct report_runtime *rt, FILE *out)
{
	struct jsonw w;

	jsonw_begin(&w, out);
	jsonw_str(&w, "type", "runtime");
	jsonw_u64(&w, "pid", (uint64_t)rt->pid);
	jsonw_u64(&w, "runtime", rt->runtime);
	jsonw_str_known(&w, "family", rt->family);
	jsonw_str_known(&w, "version", rt->version);
	jsonw_str_known(&w, "variant", rt->variant);
	jsonw_str_known(&w, "module", rt->module);
	jsonw_str_known(&w, "build_id", rt->build_id);
	jsonw_str_known(&w, "layout", rt->layout);
	jsonw_str_known(&w, "evidence", rt->evidence);
	jsonw_array(&w, "functions");
	vec_each(f, &rt->functions)
		write_function(&w, f);
	jsonw_close(&w, ']');
	jsonw_end(&w);
}

static void write_counters(struct jsonw *w, const struct report_state *s)
{
	jsonw_u64(w, "live_bytes", s->live_bytes);
	jsonw_u64(w, "live_blocks", s->live_blocks);
	jsonw_u64(w, "allocs", s->allocs);
	jsonw_u64(w, "frees", s->frees);
	jsonw_u64(w, "reallocs", s->reallocs);
	jsonw_u64(w, "failures", s->failures);
	jsonw_u64(w, "alloc_bytes", s->alloc_bytes);
}

static void write_state(const struct report *r, const struct report_state *s, FILE *out)
{
	struct jsonw w;

	jsonw_begin(&w, out);
	jsonw_str(&w, "type", "state");
	if (s->pid) /* many states in one may be of several processes */
		jsonw_u64(&w, "pid", (uint64_t)s->pid);
	jsonw_u64(&w, "state", s->state);
	if (s->runtime)
		jsonw_u64(&w, "runtime", s->runtime);
	if (s->L) {
		jsonw_addr(&w, "L", s->L);
		jsonw_addr(&w, "g", s->g);
	}
	jsonw_str_known(&w, "label", s->label);
	jsonw_str_known(&w, "allocator", s->allocator);
	if (s->heap_known)
		jsonw_u64(&w, "heap_bytes", s->heap_bytes);
	jsonw_str_known(&w, "gc_state", s->gc_state);
	if (s->collector) {
		jsonw_str(&w, "collector", s->collector);
		jsonw_double(&w, "standstill_s", s->still_s);
		jsonw_double(&w, "growth_bytes_per_s", s->growth_bytes_per_s);
	}
	if (s->threads_known)
		jsonw_u64(&w, "threads", s->threads);
	if (r->active)
		write_counters(&w, s);
	if (s->gc_known)
		jsonw_u64(&w, "gc_cycles", s->gc_cycles);
	if (s->state && s->before_attach)
		jsonw_str(&w, "born", "before-attach");
	else if (s->state)
		write_time(&w, "born", s->born_realtime_ns);
	write_time(&w, "closed", s->closed_realtime_ns);
	jsonw_end(&w);
}

/* The symbol, else what Lua calls it, else where it lies. */
static void write_native(struct jsonw *w, const struct report_frame *f)
{
	const char *slash = f->module ? strrchr(f->module, '/') : NULL;
	char text[PATH_MAX + 32];

	if (f->native || f->name) {
		jsonw_str(w, "native", f->native ? f->native : f->name);
		return;
	}
	snprintf(text, sizeof(text), f->module ? "%s+0x%llx" : "built-in function",
		 slash ? slash + 1 : f->module, (unsigned long long)f->offset);
	jsonw_str(w, "native", text);
}

static void write_frame(struct jsonw *w, const struct report_frame *f)
{
	jsonw_object(w, NULL);
	if (f->truncated) {
		jsonw_bool(w, "truncated", true);
	} else if (f->lua) {
		jsonw_str(w, "lua", f->lua);
		jsonw_str_known(w, "name", f->name);
		if (f->approx)
			jsonw_bool(w, "approx", true);
	} else {
		write_native(w, f);
		if (f->native)
			jsonw_str_known(w, "name", f->name);
		jsonw_str_known(w, "module", f->module);
		if (f->offset)
			jsonw_addr(w, "offset", f->offset);
	}
	if (f->tail)
		jsonw_bool(w, "tail", true);
	if (f->jit)
		jsonw_bool(w, "jit", true);
	if (f->thread)
		jsonw_bool(w, "resumer", true);
	jsonw_close(w, '}');
}

/* Without a whole stack: only the innermost Lua frame is known. */
static void write_top_frame(struct jsonw *w, const struct report_site *s)
{
	static const struct report_frame more = { .truncated = true };

	jsonw_array(w, "stack");
	if (s->frame.lua) {
		write_frame(w, &s->frame);
		write_frame(w, &more);
	}
	jsonw_close(w, ']');
}

/*
 * The stack begins with the innermost Lua frame, the line to blame; the C functions that it
 * called, which made the block, stand in `via`.
 */
void json_write_stack(struct jsonw *w, const char *key, const char *via, const struct report *r,
		      const struct report_stack *st)
{
	uint32_t above = report_frames_above(r, st);

	jsonw_array(w, key);
	for (uint32_t i = above; i < st->n; i++)
		write_frame(w, report_frame_at(r, st, i));
	jsonw_close(w, ']');
	if (!above)
		return;
	jsonw_array(w, via);
	for (uint32_t i = 0; i < above; i++)
		write_frame(w, report_frame_at(r, st, i));
	jsonw_close(w, ']');
}

static void write_site(const struct report *r, const struct report_site *s,
		       const struct report_stack *st, FILE *out)
{
	struct jsonw w;

	jsonw_begin(&w, out);
	jsonw_str(&w, "type", "site");
	if (s->pid)
		jsonw_u64(&w, "pid", (uint64_t)s->pid);
	jsonw_u64(&w, "state", s->state);
	jsonw_str(&w, "kind", s->kind);
	jsonw_u64(&w, "live_bytes", st->live_bytes);
	jsonw_u64(&w, "live_blocks", st->live_blocks);
	jsonw_u64(&w, "allocs", st->allocs);
	jsonw_u64(&w, "alloc_bytes", st->alloc_bytes);
	jsonw_u64(&w, "survived_cycles", s->survived_cycles);
	jsonw_double(&w, "growth_bytes_per_s", st->growth_bytes_per_s);
	jsonw_u64(&w, "peak_bytes", s->peak_bytes);
	jsonw_u64(&w, "reallocs", s->reallocs);
	if (s->temporary_bytes)
		jsonw_u64(&w, "temporary_bytes", s->temporary_bytes);
	jsonw_str(&w, "verdict", verdict_name(s->verdict));
	jsonw_bool(&w, "sampled", r->windows || (s->n_stacks > 1 && r->sample_bytes > 1));
	if (r->sample_bytes)
		jsonw_u64(&w, "samples", st->samples);
	if (r->sample_bytes || r->windows)
		jsonw_double(&w, "error_pct", hypot(st->error_pct, s->error_pct));
	if (st->n)
		json_write_stack(&w, "stack", "via", r, st);
	else
		write_top_frame(&w, s);
	jsonw_end(&w);
}

/* A record for each stack; those of one line add up to what its blocks truly are. */
static void write_site_stacks(const struct report *r, const struct report_site *s, FILE *out)
{
	struct report_stack whole = {
		.live_bytes = s->live_bytes, .live_blocks = s->live_blocks,
		.old_bytes = s->old_bytes, .allocs = s->allocs, .alloc_bytes = s->alloc_bytes,
		.growth_bytes_per_s = s->growth_bytes_per_s,
	};

	if (!s->n_stacks)
		write_site(r, s, &whole, out);
	for (uint32_t i = 0; i < s->n_stacks; i++)
		write_site(r, s, &r->stacks.v[s->first_stack + i], out);
}

static void write_coverage(struct jsonw *w, const struct report *r)
{
	uint64_t unseen = r->lost[LMT_STAT_MAP_FULL] + r->lost[LMT_STAT_NO_PENDING];
	double pct =
		r->events
			? 100.0 * (double)(r->events - (unseen < r->events ? unseen : r->events)) /
				  (double)r->events
			: 100.0;

	jsonw_object(w, "coverage");
	if (r->windows)
		pct = r->seen_pct;
	jsonw_double(w, "alloc_pct", pct);
	jsonw_double(w, "free_pct", r->windows ? r->seen_pct : 100.0);
	jsonw_u64(w, "predates_attach_bytes", r->predates_attach_bytes);
	jsonw_close(w, '}');
	jsonw_object(w, "overhead");
	jsonw_u64(w, "events", r->events);
	if (r->ns_per_event > 0) {
		jsonw_double(w, "ns_per_event", r->ns_per_event);
		jsonw_double(w, "cpu_pct", r->cpu_pct);
	}
	jsonw_close(w, '}');
}

static void write_advice(struct jsonw *w, const struct report *r)
{
	char text[256];
	bool any = false;

	for (size_t i = 0; advice_text(r, i, text, sizeof(text)); i++) {
		if (!*text)
			continue;
		if (!any)
			jsonw_array(w, "advice");
		any = true;
		jsonw_str(w, NULL, text);
	}
	if (any)
		jsonw_close(w, ']');
}

static void write_end(const struct report *r, FILE *out)
{
	struct jsonw w;

	jsonw_begin(&w, out);
	jsonw_str(&w, "type", "end");
	write_time(&w, "time", r->end_realtime_ns);
	jsonw_bool(&w, "complete", report_complete(r));
	jsonw_str_known(&w, "reason", r->end_reason);
	jsonw_object(&w, "lost");
	for (unsigned int i = 0; i < LMT_STAT_MAX; i++)
		jsonw_u64(&w, report_lost_key(i), r->lost[i]);
	jsonw_close(&w, '}');
	if (r->left_out)
		jsonw_u64(&w, "left_out", r->left_out);
	if (r->detail_dropped)
		write_time(&w, "detail_since", r->detail_since_ns);
	if (r->active)
		write_coverage(&w, r);
	write_advice(&w, r);
	if (r->blind_spots.n) {
		jsonw_array(&w, "blind_spots");
		vec_each(b, &r->blind_spots)
			jsonw_str(&w, NULL, *b);
		jsonw_close(&w, ']');
	}
	jsonw_end(&w);
}

/* Begins an interval report; the last report needs no mark, `end` closes it. */
static void write_interval(const struct report *r, FILE *out)
{
	struct jsonw w;

	jsonw_begin(&w, out);
	jsonw_str(&w, "type", "interval");
	write_time(&w, "time", r->end_realtime_ns);
	jsonw_bool(&w, "complete", report_complete(r));
	jsonw_end(&w);
}

void json_write_processes(const struct report *r, FILE *out)
{
	vec_each(p, &r->processes)
		write_process(p, out);
	vec_each(rt, &r->runtimes)
		write_runtime(rt, out);
}

void json_write(const struct report *r, const struct format_options *opt, FILE *out)
{
	size_t n = 0;

	if (opt->first)
		json_write_header(r, out);
	json_write_processes(r, out);
	if (!r->last)
		write_interval(r, out);
	vec_each(s, &r->states)
		write_state(r, s, out);
	findings_write_json(r, out);
	vec_each(s, &r->sites)
		if (!r->top || n++ < r->top)
			write_site_stacks(r, s, out);
	heaps_write_json(r, out);
	if (r->last)
		write_end(r, out);
}
