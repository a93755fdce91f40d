/* SPDX-License-Identifier: MIT */
#include "findings.h"

#include <inttypes.h>
#include <string.h>

#include "base/escape.h"
#include "base/fmt.h"
#include "finding_lines.h"
#include "findings_alike.h"

#define BOLD "\033[1m"
#define RED "\033[31m"
#define YELLOW "\033[33m"
#define RESET "\033[0m"

static void put_escaped(FILE *out, const char *s)
{
	char buf[1600];

	escape_term(buf, sizeof(buf), s);
	fputs(buf, out);
}

static void put_frame(FILE *out, const struct report_frame *f)
{
	put_escaped(out, fmt_chunk(f->lua));
	if (f->name) {
		fputs(" in ", out);
		put_escaped(out, f->name);
	}
	if (f->approx)
		fputs("  (line approximate)", out);
}

/* Who holds it, a line of its own: it is long, and the answer most look for. */
static void write_holder(const struct report_evidence *e, FILE *out)
{
	char step[1200];

	fputs("\n  held by   ", out);
	for (const char *s = e->text; s && *s; s += *s == EVIDENCE_STEP) {
		const char *end = strchrnul(s, EVIDENCE_STEP);

		snprintf(step, sizeof(step), "%.*s", (int)(end - s), s);
		fputs(s == e->text ? "" : " → ", out);
		put_escaped(out, step);
		s = end;
	}
}

static bool ends_with(const char *key, const char *end)
{
	size_t n = strlen(key), m = strlen(end);

	return n >= m && !strcmp(key + n - m, end);
}

/* Sizes in units that people read; JSON has the bytes. */
static void write_number(const char *key, uint64_t n, FILE *out)
{
	struct fmtbuf b;

	if (ends_with(key, "bytes"))
		fputs(fmt_bytes(&b, n), out);
	else
		fprintf(out, "%" PRIu64, n);
}

static void write_rate(const char *key, double rate, FILE *out)
{
	struct fmtbuf b;

	if (ends_with(key, "bytes_per_s"))
		fprintf(out, "%s/s", fmt_bytes(&b, rate > 0 ? (uint64_t)rate : 0));
	else
		fprintf(out, "%.1f", rate);
}

static void write_evidence(const struct report_evidence *e, FILE *out)
{
	fprintf(out, " %s=", e->key);
	switch (e->type) {
	case EVIDENCE_NUMBER:
		write_number(e->key, e->n, out);
		break;
	case EVIDENCE_SIGNED:
		fprintf(out, "%" PRId64, (int64_t)e->n);
		break;
	case EVIDENCE_ADDRESS:
		fprintf(out, "0x%" PRIx64, e->n);
		break;
	case EVIDENCE_TEXT:
		put_escaped(out, e->text);
		break;
	case EVIDENCE_RATE:
		write_rate(e->key, e->rate, out);
		break;
	case EVIDENCE_PATH:
	case EVIDENCE_LINES:
		break;
	case EVIDENCE_STACK:
		if (e->frame.lua)
			put_frame(out, &e->frame);
		else
			fputc('?', out);
		break;
	}
}

/* Which lines make it, the largest first. */
static void write_lines(const struct report_evidence *e, FILE *out)
{
	const char *text = e->text;
	struct finding_line l;
	struct fmtbuf b;

	fputs("\n  filled at", out);
	for (const char *sep = " "; finding_lines_next(&text, &l); sep = ", ") {
		fputs(sep, out);
		put_escaped(out, *l.line ? fmt_chunk(l.line) : "(no Lua line)");
		fprintf(out, " (%s %s)", l.kind, fmt_bytes(&b, l.bytes));
	}
}

#define CALLERS 6

/* What led there, a few frames of it; C functions above the line are named first. */
static void write_callers(const struct report *r, const char *title, const struct report_stack *st,
			  FILE *out)
{
	uint32_t shown = 0, i;

	for (i = 0; i < st->n && shown < CALLERS; i++) {
		const struct report_frame *f = report_frame_at(r, st, i);

		if (!f->lua && !f->native && !f->name)
			continue;
		if (shown++)
			fputs(" < ", out);
		else
			fprintf(out, "\n  %-9s ", title);
		if (f->lua)
			put_frame(out, f);
		else
			put_escaped(out, f->native ? f->native : f->name);
	}
	if (i < st->n)
		fputs(" < …", out);
}

#define ALSO_NAMED 8

static void write_also(const struct findings_alike *a, const struct finding_alike *g, FILE *out)
{
	const struct report_finding *const *f = a->members.v + g->first;
	struct fmtbuf b, c;

	fprintf(out, "\n  also      in %zu more state%s:", g->n - 1, g->n == 2 ? "" : "s");
	for (size_t i = 1; i < g->n && i <= ALSO_NAMED; i++) {
		fprintf(out, "%s %" PRIu32, i > 1 ? "," : "", f[i]->state);
		if (f[i]->pid != f[0]->pid)
			fprintf(out, " of process %d", f[i]->pid);
	}
	fprintf(out, "%s; %s %s", g->n > ALSO_NAMED + 1 ? ", …" : "", fmt_count(&b, g->count),
		g->bytes ? "blocks, " : "times");
	fprintf(out, "%s in all", g->bytes ? fmt_bytes(&c, g->bytes) : "");
}

/* A key of ours as words. */
static const char *words_of(const char *key, char *buf, size_t size)
{
	snprintf(buf, size, "%s", key);
	for (char *c = buf; *c; c++)
		if (*c == '_')
			*c = ' ';
	return buf;
}

/* A number of blocks, which the evidence has, and not of times. */
static bool counts_blocks(const struct report_finding *f)
{
	return f->kind == FINDING_LEAK || f->kind == FINDING_C_LEAK;
}

/* Told by the memory of the process; no thread was seen doing it. */
static bool is_of_process(const struct report_finding *f)
{
	return f->kind == FINDING_NATIVE_GROWTH;
}

/* The root cause first, then where, how sure, the evidence, what to do. */
static void write_finding(const struct report *r, const struct findings_alike *a,
			  const struct finding_alike *g, const struct format_options *opt,
			  FILE *out)
{
	const struct report_finding *f = g->f;
	char title[32];
	const char *color = !opt->color ? "" : f->severity >= SEVERITY_ERROR ? RED BOLD : YELLOW;

	fprintf(out, "\n%s%s %s%s  ", color, severity_name(f->severity), finding_kind_name(f->kind),
		opt->color ? RESET : "");
	put_escaped(out, f->message);
	fputs("\n  where     ", out);
	if (f->frame.lua)
		put_frame(out, &f->frame);
	else
		fputs(is_of_process(f) ? "the whole process" : "(no Lua code on the stack)", out);
	if (r->processes.n > 1)
		fprintf(out, "; process %d", f->pid);
	if (f->state)
		fprintf(out, "; state %" PRIu32, f->state);
	if (f->tid)
		fprintf(out, "; thread %d", f->tid);
	if (g->n > 1)
		write_also(a, g, out);
	write_callers(r, "stack", &f->stack, out);
	fprintf(out, "\n  how sure  %s", confidence_name(f->confidence));
	if (f->count > 1 && !counts_blocks(f))
		fprintf(out, "; seen %" PRIu64 " times", f->count);
	fputs("\n  evidence ", out);
	vec_each(e, &f->evidence)
		if (e->type != EVIDENCE_PATH && e->type != EVIDENCE_LINES)
			write_evidence(e, out);
	vec_each(e, &f->evidence) {
		if (e->type == EVIDENCE_PATH)
			write_holder(e, out);
		if (e->type == EVIDENCE_LINES)
			write_lines(e, out);
		if (e->stack.n > 1)
			write_callers(r, words_of(e->key, title, sizeof(title)), &e->stack, out);
	}
	fputs("\n  next      ", out);
	put_escaped(out, f->advice);
	fputc('\n', out);
}

void findings_write_text(const struct report *r, const struct format_options *opt, FILE *out)
{
	struct findings_alike a;

	if (findings_alike(r, &a)) {
		fputs("\n(out of memory: the findings are left out)\n", out);
		return;
	}
	vec_each(g, &a.groups)
		write_finding(r, &a, g, opt, out);
	findings_alike_deinit(&a);
}
