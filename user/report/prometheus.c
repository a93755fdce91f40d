/* SPDX-License-Identifier: MIT */
#include "prometheus.h"

#include <inttypes.h>
#include <stddef.h>

#include "base/escape.h"

#define PREFIX "luamemtrace_"

struct family {
	const char *name, *type, *help;
	size_t offset; /* of an uint64_t, or as told */
	enum { AS_U64, AS_U32, AS_DOUBLE } as;
};

#define PROCESS(member) offsetof(struct report_process, memory.member)
#define STATE(member) offsetof(struct report_state, member)
#define SITE(member) offsetof(struct report_site, member)

/* Where the memory of a process is; the parts are those of its resident size. */
static const struct family process_families[] = {
	{ "process_resident_bytes", "gauge", "Resident size of a process.", PROCESS(now.rss), AS_U64 },
	{ "process_resident_growth_bytes_per_second", "gauge", "Growth of the resident size.",
	  PROCESS(growth[MEMORY_MAX]), AS_DOUBLE },
	{ "process_lua_bytes", "gauge", "Held by Lua, in all states.", PROCESS(now.part[MEMORY_LUA]), AS_U64 },
	{ "process_lua_garbage_bytes", "gauge", "Garbage of Lua, not collected yet.",
	  PROCESS(now.part[MEMORY_GARBAGE]), AS_U64 },
	{ "process_allocator_free_bytes", "gauge", "Free in LuaJIT's and glibc's allocators.",
	  PROCESS(now.part[MEMORY_FREE]), AS_U64 },
	{ "process_native_bytes", "gauge", "C heap and other private memory besides Lua.",
	  PROCESS(now.part[MEMORY_NATIVE]), AS_U64 },
	{ "process_memory_limit_bytes", "gauge", "Limit of its cgroup or RLIMIT_AS, whichever leaves less.",
	  PROCESS(limit.bytes), AS_U64 },
};

static const struct family state_families[] = {
	{ "heap_bytes", "gauge", "Heap of a lua_State as its VM counts it.", STATE(heap_bytes), AS_U64 },
	{ "live_bytes", "gauge", "Live bytes that were allocated since the attach.", STATE(live_bytes), AS_U64 },
	{ "live_blocks", "gauge", "Live blocks that were allocated since the attach.", STATE(live_blocks), AS_U64 },
	{ "allocated_bytes_total", "counter", "Bytes handed out since the attach.", STATE(alloc_bytes), AS_U64 },
	{ "allocations_total", "counter", "Blocks handed out since the attach.", STATE(allocs), AS_U64 },
	{ "frees_total", "counter", "Blocks freed since the attach.", STATE(frees), AS_U64 },
	{ "reallocations_total", "counter", "Blocks resized since the attach.", STATE(reallocs), AS_U64 },
	{ "refused_total", "counter", "Requests that the allocator refused.", STATE(failures), AS_U64 },
	{ "gc_cycles_total", "counter", "Garbage collection cycles seen.", STATE(gc_cycles), AS_U32 },
};

/* Windows see some of the calls: what they count is not what was called. */
static bool counts_calls(const struct family *f)
{
	return f->offset == STATE(alloc_bytes) || f->offset == STATE(allocs) ||
	       f->offset == STATE(frees) || f->offset == STATE(reallocs);
}

static const struct family site_families[] = {
	{ "site_live_bytes", "gauge", "Live bytes by the line that allocated them.", SITE(live_bytes), AS_U64 },
	{ "site_live_blocks", "gauge", "Live blocks by the line that allocated them.", SITE(live_blocks), AS_U64 },
	{ "site_survived_cycles", "gauge", "Garbage collections that blocks of the line outlived.",
	  SITE(survived_cycles), AS_U32 },
	{ "site_growth_bytes_per_second", "gauge", "Growth of what outlived collections, by line.",
	  SITE(growth_bytes_per_s), AS_DOUBLE },
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

static const char *comm_of(const struct report *r, pid_t pid)
{
	vec_each(p, &r->processes)
		if (p->pid == pid)
			return p->comm;
	return "";
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

static void put_value(FILE *out, const struct family *f, const void *of)
{
	const char *at = (const char *)of + f->offset;

	if (f->as == AS_DOUBLE)
		fprintf(out, "} %.3f\n", *(const double *)at);
	else
		fprintf(out, "} %" PRIu64 "\n",
			f->as == AS_U32 ? *(const uint32_t *)at : *(const uint64_t *)at);
}

static void write_process_family(const struct report *r, const struct family *f, FILE *out)
{
	begin_family(out, f->name, f->type, f->help);
	vec_each(p, &r->processes) {
		const struct report_memory *m = &p->memory;

		if (!m->known || (f->offset == PROCESS(limit.bytes) && !m->limit.what) ||
		    (f->as == AS_DOUBLE && !m->growth_known) ||
		    (f->offset == PROCESS(now.part[MEMORY_FREE]) && !m->free_known))
			continue;
		fprintf(out, PREFIX "%s{pid=\"%d\",", f->name, p->pid);
		put_label(out, "comm", p->comm);
		put_value(out, f, p);
	}
}

static void write_state_family(const struct report *r, const struct family *f, FILE *out)
{
	begin_family(out, f->name, f->type, f->help);
	vec_each(s, &r->states) {
		if (s->closed_realtime_ns || (f->offset == STATE(heap_bytes) && !s->heap_known))
			continue;
		fprintf(out, PREFIX "%s{pid=\"%d\",state=\"%" PRIu32 "\",", f->name, s->pid, s->state);
		put_label(out, "comm", comm_of(r, s->pid));
		fputc(',', out);
		put_label(out, "runtime", title_of(r, s->pid, s->runtime));
		if (s->label) {
			fputc(',', out);
			put_label(out, "label", s->label);
		}
		put_value(out, f, s);
	}
}

static void write_site_family(const struct report *r, const struct family *f, size_t max, FILE *out)
{
	size_t n = 0;

	begin_family(out, f->name, f->type, f->help);
	vec_each(s, &r->sites) {
		if (n++ == max)
			break;
		fprintf(out, PREFIX "%s{pid=\"%d\",state=\"%" PRIu32 "\",kind=\"%s\",",
			f->name, s->pid, s->state, s->kind);
		if (s->below)
			fputs("in_c=\"true\",", out); /* a C function that the line called */
		put_label(out, "where", s->frame.lua ? s->frame.lua : "");
		put_value(out, f, s);
	}
}

static void write_findings(const struct report *r, FILE *out)
{
	size_t i = 0;

	begin_family(out, "finding_count", "gauge", "How often each thing that is wrong was found.");
	vec_each(f, &r->findings) {
		fprintf(out, PREFIX "finding_count{finding=\"%zu\",kind=\"%s\",severity=\"%s\",pid=\"%d\","
			"state=\"%" PRIu32 "\",", ++i, finding_kind_name(f->kind), severity_name(f->severity),
			f->pid, f->state);
		put_label(out, "where", f->frame.lua ? f->frame.lua : "");
		fprintf(out, "} %" PRIu64 "\n", f->count);
	}
}

static void write_completeness(const struct report *r, FILE *out)
{
	begin_family(out, "complete", "gauge", "1 while nothing was lost and nothing is out of sight.");
	fprintf(out, PREFIX "complete %d\n", report_complete(r));
	begin_family(out, "seen_ratio", "gauge", "Share of the allocator calls that was seen.");
	fprintf(out, PREFIX "seen_ratio %.6f\n", r->windows ? r->seen_pct / 100 : 1.0);
	begin_family(out, "lost_total", "counter", "What was not recorded, by cause.");
	for (unsigned int i = 0; i < LMT_STAT_MAX; i++)
		fprintf(out, PREFIX "lost_total{cause=\"%s\"} %" PRIu64 "\n", report_lost_key(i), r->lost[i]);
}

void prometheus_write(const struct report *r, size_t max_sites, FILE *out)
{
	for (size_t i = 0; i < sizeof(process_families) / sizeof(process_families[0]); i++)
		write_process_family(r, &process_families[i], out);
	for (size_t i = 0; i < sizeof(state_families) / sizeof(state_families[0]); i++)
		if (!r->windows || !counts_calls(&state_families[i]))
			write_state_family(r, &state_families[i], out);
	for (size_t i = 0; i < sizeof(site_families) / sizeof(site_families[0]); i++)
		write_site_family(r, &site_families[i], max_sites, out);
	write_findings(r, out);
	write_completeness(r, out);
}
