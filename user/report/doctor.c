/* SPDX-License-Identifier: MIT */
#include "doctor.h"

#include <inttypes.h>
#include <string.h>

#include "base/escape.h"
#include "format.h"
#include "jsonw.h"
#include "resolve/known_bug.h"

static const char *const status_names[] = { "ok", "note", "fail" };

static void put_escaped(FILE *out, const char *s)
{
	char buf[400];

	escape_term(buf, sizeof(buf), s);
	fputs(buf, out);
}

static void write_function(const struct report_function *f, FILE *out)
{
	char site[32] = "";

	if (!f->offset) {
		fprintf(out, "    %-18s %10s  not found: %s\n", f->name, "-",
			f->why_not ? f->why_not : "unknown");
		return;
	}
	if (f->placed)
		snprintf(site, sizeof(site), "+%" PRIu64, f->site_offset - f->offset);
	fprintf(out, "    %-18s 0x%-8" PRIx64 "  %-5s %-34.34s %-9s %s%s  [%s]\n", f->name, f->offset, site,
		f->placed ? f->insn : "", !f->placed ? "" : f->emulated ? "emulated" : "stepped",
		f->probed ? "probed" : "not probed: ", f->probed ? "" : f->why_not ? f->why_not : "",
		f->how ? f->how : "");
}

static void write_runtime(const struct report *r, const struct report_runtime *rt, FILE *out)
{
	fprintf(out, "\n  runtime %" PRIu32 "  %s in ", rt->runtime, rt->title);
	put_escaped(out, rt->module);
	fprintf(out, "\n    layout   %s\n    evidence ", rt->layout ? rt->layout : "unknown");
	put_escaped(out, rt->evidence);
	fprintf(out, "\n    build-id %s\n", *rt->build_id ? rt->build_id : "none");
	vec_each(s, &r->states) {
		if (s->pid != rt->pid || s->runtime != rt->runtime)
			continue;
		fprintf(out, "    state    L=0x%" PRIx64 ", allocator ", s->L);
		put_escaped(out, s->allocator);
		fputc('\n', out);
	}
	fprintf(out, "    %-18s %10s  %-5s %-34s %s\n", "function", "offset", "site", "instruction",
		"run by the kernel");
	vec_each(f, &rt->functions)
		write_function(f, out);
	if (rt->bug)
		fprintf(out, "    known-bug (%s) %s; %s; fixed in %s\n",
			rt->bug_certain ? "certain" : "likely", rt->bug->text, rt->bug->reference,
			rt->bug->fixed_in);
}

void doctor_write_text(const struct doctor_check *checks, size_t n, const struct report *r,
		       bool color, FILE *out)
{
	static const char *const marks[] = { "\033[32m", "\033[33m", "\033[31m" };

	for (size_t i = 0; i < n; i++) {
		const struct doctor_check *c = &checks[i];

		fprintf(out, "%s%-4s%s  %-22s %s\n", color ? marks[c->status] : "",
			status_names[c->status], color ? "\033[0m" : "", c->name, c->detail);
		if (c->remedy)
			fprintf(out, "%30s%s\n", "→ ", c->remedy);
	}
	vec_each(p, &r->processes) {
		fprintf(out, "\nprocess %d (", p->pid);
		put_escaped(out, p->comm);
		fputs(") ", out);
		put_escaped(out, p->exe);
		fputc('\n', out);
		vec_each(rt, &r->runtimes)
			if (rt->pid == p->pid)
				write_runtime(r, rt, out);
	}
	vec_each(s, &r->blind_spots) {
		fputs("\nnot seen: ", out);
		put_escaped(out, *s);
		fputc('\n', out);
	}
}

static void write_check(const struct doctor_check *c, FILE *out)
{
	struct jsonw w;

	jsonw_begin(&w, out);
	jsonw_str(&w, "type", "check");
	jsonw_str(&w, "name", c->name);
	jsonw_str(&w, "status", status_names[c->status]);
	jsonw_str_known(&w, "detail", c->detail);
	jsonw_str_known(&w, "remedy", c->remedy);
	jsonw_end(&w);
}

static void write_bug(const struct report_runtime *rt, FILE *out)
{
	struct jsonw w;

	jsonw_begin(&w, out);
	jsonw_str(&w, "type", "finding");
	jsonw_str(&w, "kind", "known-bug");
	jsonw_str(&w, "severity", "warning");
	jsonw_str(&w, "confidence", rt->bug_certain ? "certain" : "likely");
	jsonw_u64(&w, "pid", (uint64_t)rt->pid);
	jsonw_u64(&w, "runtime", rt->runtime);
	jsonw_str(&w, "message", rt->bug->text);
	jsonw_object(&w, "evidence");
	jsonw_str(&w, "reference", rt->bug->reference);
	jsonw_str(&w, "fixed_in", rt->bug->fixed_in);
	jsonw_close(&w, '}');
	jsonw_end(&w);
}

void doctor_write_json(const struct doctor_check *checks, size_t n, const struct report *r,
		       FILE *out)
{
	struct format_options fo = { .first = false };

	json_write_header(r, out);
	for (size_t i = 0; i < n; i++)
		write_check(&checks[i], out);
	vec_each(rt, &r->runtimes)
		if (rt->bug)
			write_bug(rt, out);
	json_write(r, &fo, out);
}
