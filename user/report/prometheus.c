/* SPDX-License-Identifier: MIT */
#include "prometheus.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "base/escape.h"
#include "series.h"

#define PREFIX "luamemtrace_"

struct family {
	const char *name, *type, *help;
	size_t offset; /* of an uint64_t, or as told */
	enum { AS_U64, AS_U32, AS_DOUBLE } as;
	bool windows;  /* is true also where calls are seen now and then only */
	bool by_max;   /* of those that have the same labels; else their sum */
};

#define PROCESS(member) offsetof(struct report_process, memory.member)
#define STATE(member) offsetof(struct report_state, member)
#define SITE(member) offsetof(struct report_site, member)

/* Where the memory of processes is; the parts are those of the resident size. */
static const struct family process_families[] = {
	{ "process_resident_bytes", "gauge", "Resident size.", PROCESS(now.rss), AS_U64, true, false },
	{ "process_resident_growth_bytes_per_second", "gauge", "Growth of the resident size.",
	  PROCESS(growth[MEMORY_MAX]), AS_DOUBLE, true, false },
	{ "process_lua_bytes", "gauge", "Held by Lua.", PROCESS(now.part[MEMORY_LUA]), AS_U64, true, false },
	{ "process_lua_garbage_bytes", "gauge", "Garbage of Lua that was not collected yet.",
	  PROCESS(now.part[MEMORY_GARBAGE]), AS_U64, true, false },
	{ "process_allocator_free_bytes", "gauge", "Free in LuaJIT's and glibc's allocators.",
	  PROCESS(now.part[MEMORY_FREE]), AS_U64, true, false },
	{ "process_native_bytes", "gauge", "C heap and other private memory besides Lua.",
	  PROCESS(now.part[MEMORY_NATIVE]), AS_U64, true, false },
	{ "process_memory_limit_bytes", "gauge", "Limit of the cgroup or RLIMIT_AS, whichever leaves less.",
	  PROCESS(limit.bytes), AS_U64, true, true },
};

static const struct family state_families[] = {
	{ "heap_bytes", "gauge", "Heap of the lua_States as their VM counts it.", STATE(heap_bytes), AS_U64, true, false },
	{ "live_bytes", "gauge", "Live bytes that were allocated since the attach.", STATE(live_bytes), AS_U64, false, false },
	{ "live_blocks", "gauge", "Live blocks that were allocated since the attach.", STATE(live_blocks), AS_U64, false, false },
	{ "allocated_bytes_total", "counter", "Bytes handed out since the attach.", STATE(alloc_bytes), AS_U64, false, false },
	{ "allocations_total", "counter", "Blocks handed out since the attach.", STATE(allocs), AS_U64, false, false },
	{ "frees_total", "counter", "Blocks freed since the attach.", STATE(frees), AS_U64, false, false },
	{ "reallocations_total", "counter", "Blocks resized since the attach.", STATE(reallocs), AS_U64, false, false },
	{ "refused_total", "counter", "Requests that the allocator refused.", STATE(failures), AS_U64, true, false },
	{ "gc_cycles_total", "counter", "Garbage collection cycles seen.", STATE(gc_cycles), AS_U32, true, false },
};

static const struct family site_families[] = {
	{ "site_live_bytes", "gauge", "Live bytes by the line that allocated them; estimated unless seen_ratio is 1.",
	  SITE(live_bytes), AS_U64, true, false },
	{ "site_live_blocks", "gauge", "Live blocks by the line that allocated them; estimated unless seen_ratio is 1.",
	  SITE(live_blocks), AS_U64, true, false },
	{ "site_survived_cycles", "gauge", "Garbage collections that blocks of the line outlived.",
	  SITE(survived_cycles), AS_U32, true, true },
	{ "site_growth_bytes_per_second", "gauge", "Growth of what outlived collections, by line.",
	  SITE(growth_bytes_per_s), AS_DOUBLE, true, false },
};

/* Target text is escaped twice: made harmless, then as the format wants it. */
static void put_label(FILE *out, const char *name, const char *value)
{
	char text[8192]; /* the longest chunk name that is kept, escaped */

	escape_term(text, sizeof(text), value);
	fprintf(out, "%s=\"", name);
	for (const char *s = text; *s; s++) {
		if (*s == '\\' || *s == '"')
			fputc('\\', out);
		fputc(*s, out);
	}
	fputc('"', out);
}

/* The process that has the number now, or had it last. */
static const struct report_process *process_of(const struct report *r, pid_t pid)
{
	const struct report_process *found = NULL;

	vec_each(p, &r->processes)
		if (p->pid == pid && (!found || !p->ended))
			found = p;
	return found;
}

static const char *title_of(const struct report *r, pid_t pid, uint32_t runtime)
{
	vec_each(rt, &r->runtimes)
		if (rt->pid == pid && rt->runtime == runtime)
			return rt->title;
	return "";
}

static void begin_family(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name, help, name, type);
}

static double value_of(const struct family *f, const void *of)
{
	const char *at = (const char *)of + f->offset;

	if (f->as == AS_DOUBLE)
		return *(const double *)at;
	return f->as == AS_U32 ? *(const uint32_t *)at : (double)*(const uint64_t *)at;
}

/* What all begin with; numbers only when asked for: each is a series that nobody sees again. */
static FILE *begin_labels(const struct report *r, const struct prometheus_options *o, pid_t pid,
			  uint32_t state, char **text, size_t *len)
{
	const struct report_process *p = process_of(r, pid);
	FILE *out = open_memstream(text, len);

	if (!out)
		return NULL;
	if (o->pid)
		fprintf(out, "pid=\"%d\",state=\"%" PRIu32 "\",", pid, state);
	put_label(out, "comm", p ? p->comm : "");
	return out;
}

static char *end_labels(FILE *out, char **text)
{
	return out && !fclose(out) ? *text : NULL;
}

static bool is_known(const struct report_process *p, const struct family *f)
{
	const struct report_memory *m = &p->memory;

	return m->known && !p->ended && (m->limit.what || f->offset != PROCESS(limit.bytes)) &&
	       (m->growth_known || f->as != AS_DOUBLE) &&
	       (m->free_known || f->offset != PROCESS(now.part[MEMORY_FREE]));
}

static void add_process(const struct prometheus_options *o, const struct family *f,
			const struct report_process *p, struct series_list *to)
{
	char *text = NULL;
	size_t len;
	FILE *out;

	if (!is_known(p, f))
		return;
	out = open_memstream(&text, &len);
	if (out && o->pid)
		fprintf(out, "pid=\"%d\",", p->pid);
	if (out)
		put_label(out, "comm", p->comm);
	series_add(to, end_labels(out, &text), value_of(f, p), true);
}

static void add_state(const struct report *r, const struct prometheus_options *o,
		      const struct family *f, const struct report_state *s, struct series_list *to)
{
	const struct report_process *p = process_of(r, s->pid);
	bool open = p && !p->ended && !s->closed_realtime_ns;
	char *text = NULL;
	size_t len;
	FILE *out;

	if (!open && (*f->type == 'g' || o->pid))
		return;
	if (f->offset == STATE(heap_bytes) && !s->heap_known)
		return;
	out = begin_labels(r, o, s->pid, s->state, &text, &len);
	if (out) {
		fputc(',', out);
		put_label(out, "runtime", title_of(r, s->pid, s->runtime));
	}
	if (out && s->label && o->pid) {
		fputc(',', out);
		put_label(out, "label", s->label);
	}
	series_add(to, end_labels(out, &text), value_of(f, s), p && !p->ended);
}

static void add_site(const struct report *r, const struct prometheus_options *o,
		     const struct family *f, const struct report_site *s, struct series_list *to)
{
	const struct report_process *p = process_of(r, s->pid);
	char *text = NULL;
	size_t len;
	FILE *out;

	if (!p || p->ended)
		return;
	out = begin_labels(r, o, s->pid, s->state, &text, &len);
	if (out) {
		fprintf(out, ",kind=\"%s\",%s", s->kind, s->below ? "in_c=\"true\"," : "");
		put_label(out, "where", s->frame.lua ? s->frame.lua : "");
	}
	series_add(to, end_labels(out, &text), value_of(f, s), true);
}

static double bytes_of(const struct report_finding *f)
{
	vec_each(e, &f->evidence)
		if (!strcmp(e->key, "bytes"))
			return (double)e->n;
	return 0;
}

static void add_finding(const struct report *r, const struct prometheus_options *o, bool bytes,
			const struct report_finding *f, struct series_list *to)
{
	const struct report_process *p = process_of(r, f->pid);
	char *text = NULL;
	size_t len;
	FILE *out;

	if (p && p->ended)
		return;
	out = begin_labels(r, o, f->pid, f->state, &text, &len);
	if (out) {
		fprintf(out, ",kind=\"%s\",severity=\"%s\",", finding_kind_name(f->kind),
			severity_name(f->severity));
		put_label(out, "where", f->frame.lua ? f->frame.lua : "");
	}
	series_add(to, end_labels(out, &text), bytes ? bytes_of(f) : (double)f->count, true);
}

static int end_family(FILE *out, const char *name, bool by_max, size_t max,
		      struct series_list *l)
{
	char full[64];

	snprintf(full, sizeof(full), PREFIX "%s", name);
	series_fold(l, by_max);
	series_write(l, full, max, out);
	series_deinit(l);
	return l->failed ? -ENOMEM : 0;
}

static int write_processes(const struct report *r, const struct prometheus_options *o,
			   const struct family *f, FILE *out)
{
	struct series_list l = { 0 };

	begin_family(out, f->name, f->type, f->help);
	vec_each(p, &r->processes)
		add_process(o, f, p, &l);
	return end_family(out, f->name, f->by_max, o->max_series, &l);
}

static int write_states(const struct report *r, const struct prometheus_options *o,
			const struct family *f, FILE *out)
{
	struct series_list l = { 0 };

	if (r->windows && !f->windows)
		return 0;
	begin_family(out, f->name, f->type, f->help);
	vec_each(s, &r->states)
		add_state(r, o, f, s, &l);
	return end_family(out, f->name, f->by_max, o->max_series, &l);
}

static int write_sites(const struct report *r, const struct prometheus_options *o,
		       const struct family *f, FILE *out)
{
	struct series_list l = { 0 };

	begin_family(out, f->name, f->type, f->help);
	vec_each(s, &r->sites)
		add_site(r, o, f, s, &l);
	return end_family(out, f->name, f->by_max, o->max_sites, &l);
}

static int write_findings(const struct report *r, const struct prometheus_options *o, bool bytes,
			  FILE *out)
{
	const char *name = bytes ? "finding_bytes" : "findings";
	struct series_list l = { 0 };

	begin_family(out, name, "gauge", bytes ? "Bytes that a finding is of, where it is of any."
		     : "How often each thing that is wrong was found.");
	vec_each(f, &r->findings)
		add_finding(r, o, bytes, f, &l);
	return end_family(out, name, false, o->max_series, &l);
}

static void write_completeness(const struct report *r, FILE *out)
{
	size_t n = 0;

	vec_each(p, &r->processes)
		n += !p->ended;
	begin_family(out, "build_info", "gauge", "1; the version is the label.");
	fputs(PREFIX "build_info{version=\"" LMT_VERSION "\"} 1\n", out);
	begin_family(out, "attached_targets", "gauge", "Processes that are traced.");
	fprintf(out, PREFIX "attached_targets %zu\n", n);
	begin_family(out, "overhead_ratio", "gauge", "What it costs, of one core.");
	fprintf(out, PREFIX "overhead_ratio %.6f\n", r->cpu_pct / 100);
	begin_family(out, "complete", "gauge", "1 while nothing was lost and nothing is out of sight.");
	fprintf(out, PREFIX "complete %d\n", report_complete(r));
	begin_family(out, "seen_ratio", "gauge", "Share of the allocator calls that was seen.");
	fprintf(out, PREFIX "seen_ratio %.6f\n", r->windows ? r->seen_pct / 100 : 1.0);
	begin_family(out, "lost_total", "counter", "What was not recorded, by cause.");
	for (unsigned int i = 0; i < LMT_STAT_MAX; i++)
		fprintf(out, PREFIX "lost_total{cause=\"%s\"} %" PRIu64 "\n", report_lost_key(i), r->lost[i]);
}

int prometheus_write(const struct report *r, const struct prometheus_options *o, FILE *out)
{
	int rc = 0;

	for (size_t i = 0; i < sizeof(process_families) / sizeof(process_families[0]); i++)
		rc |= write_processes(r, o, &process_families[i], out);
	for (size_t i = 0; i < sizeof(state_families) / sizeof(state_families[0]); i++)
		rc |= write_states(r, o, &state_families[i], out);
	for (size_t i = 0; i < sizeof(site_families) / sizeof(site_families[0]); i++)
		rc |= write_sites(r, o, &site_families[i], out);
	rc |= write_findings(r, o, false, out);
	rc |= write_findings(r, o, true, out);
	write_completeness(r, out);
	return rc ? -ENOMEM : 0;
}
