/* SPDX-License-Identifier: MIT */
/* What is wrong, the worst first: cause, where, how sure, evidence, what to do next. */
#include <inttypes.h>
#include <string.h>

#include "base/fmt.h"
#include "findings_alike.h"
#include "flame.h"
#include "finding_lines.h"
#include "page.h"
#include "xml.h"

#define FINDINGS_SHOWN 50
#define GROWING_SHOWN 8

static bool same_line(const struct report_site *a, const struct report_site *b)
{
	return a->pid == b->pid && a->state == b->state && a->frame.lua && b->frame.lua &&
	       !strcmp(a->frame.lua, b->frame.lua);
}

/* Tables, the buffers in them and the strings they hold often grow together, from one line. */
struct growing {
	const struct report_site *first;
	uint64_t bytes, blocks;
	double growth;
	uint32_t cycles;
};

static bool sum_growing(const struct report *r, const struct report_site *s, struct growing *g)
{
	*g = (struct growing){ .first = s };
	vec_each(other, &r->sites) {
		if (other->verdict < VERDICT_GROWING || (other != s && !same_line(other, s)))
			continue;
		if (other < s)
			return false; /* told already */
		g->bytes += other->live_bytes;
		g->blocks += other->live_blocks;
		g->growth += other->growth_bytes_per_s;
		if (other->survived_cycles > g->cycles)
			g->cycles = other->survived_cycles;
	}
	return true;
}

static void put_kinds(const struct report *r, const struct growing *g, FILE *out)
{
	bool comma = false;
	struct fmtbuf b;

	vec_each(s, &r->sites) {
		if (s->verdict < VERDICT_GROWING || (s != g->first && !same_line(s, g->first)))
			continue;
		fprintf(out, "%s%s in ", comma ? ", " : "", fmt_bytes(&b, s->live_bytes));
		fprintf(out, "%s %s block%s", fmt_count(&b, s->live_blocks), s->kind,
			s->live_blocks == 1 ? "" : "s");
		comma = true;
	}
}

#define CALLERS_SHOWN 16
#define STACK_SHOWN 40

/* The biggest of the stacks that lead to a line: Lua from the line outwards. */
static void put_callers(const struct report *r, const struct report_site *s, FILE *out)
{
	const struct report_stack *st = s->n_stacks ? &r->stacks.v[s->first_stack] : NULL;
	uint32_t above = st ? report_frames_above(r, st) : 0, shown = 0;

	if (!st || st->n - above < 2)
		return;
	fputs("<details><summary>called from", out);
	if (s->n_stacks > 1)
		fprintf(out, " <small>the biggest of %" PRIu32 " ways</small>", s->n_stacks);
	fputs("</summary>\n<ol>\n", out);
	for (uint32_t i = above; i < st->n && shown < CALLERS_SHOWN; i++) {
		const struct report_frame *f = report_frame_at(r, st, i);

		if (!f->lua)
			continue;
		fputs("<li>", out);
		page_put_frame(f, out);
		fputs("</li>\n", out);
		shown++;
	}
	fputs("</ol></details>\n", out);
}

/* The biggest site of a finding's line. */
static const struct report_site *site_of(const struct report *r, const struct report_finding *f)
{
	const struct report_site *found = NULL;

	vec_each(s, &r->sites)
		if (f->frame.lua && s->frame.lua && s->pid == f->pid && s->state == f->state &&
		    s->n_stacks && !strcmp(s->frame.lua, f->frame.lua) &&
		    (!found || s->live_bytes > found->live_bytes))
			found = s;
	return found;
}

static bool tells_holder(const struct report_finding *f)
{
	return f->kind == FINDING_LEAK || f->kind == FINDING_OOM;
}

/* What most of a heap hangs on is told once a state: by the first that asks. */
static bool holder_is_told(const struct report *r, const struct findings_alike *a, pid_t pid,
			   uint32_t state, const struct finding_alike *until,
			   const struct report_site *site)
{
	vec_each(g, &a->groups)
		if ((!until || g < until) && tells_holder(g->f) && g->f->pid == pid &&
		    g->f->state == state)
			return true;
	vec_each(s, &r->sites)
		if (site && s < site && s->verdict >= VERDICT_GROWING && s->pid == pid &&
		    s->state == state)
			return true;
	return false;
}

/* A line that grows, told as a sentence. */
static void put_growing(const struct report *r, const struct findings_alike *a,
			const struct growing *g, FILE *out)
{
	bool leak = g->first->verdict == VERDICT_LEAK;
	struct fmtbuf b, c;

	fprintf(out, "<article class=\"finding %s\">\n<h3><span class=\"tag\">%s</span> ",
		leak ? "error" : "warning", leak ? "leak" : "growing");
	page_put_frame(&g->first->frame, out);
	fprintf(out, "</h3>\n<p>keeps <b>%s</b> alive that outlived up to %" PRIu32 " garbage collections, "
		"and grows by <b>%s/s</b>.</p>\n<p class=\"dim\">", fmt_bytes(&b, g->bytes), g->cycles,
		fmt_signed_bytes(&c, (int64_t)g->growth));
	put_kinds(r, g, out);
	fprintf(out, "; state %" PRIu32, g->first->state);
	if (r->processes.n > 1)
		fprintf(out, " of process %d", g->first->pid);
	fputs(leak ? ". This is not a warm-up: it has not levelled off." :
	      ". Not sure yet: it may level off, watch longer.", out);
	fputs("</p>\n", out);
	if (!holder_is_told(r, a, g->first->pid, g->first->state, NULL, g->first))
		page_put_held(r, g->first->pid, g->first->state, out);
	put_callers(r, g->first, out);
	fputs("</article>\n", out);
}

/* Is it one of the lines of a finding's cause? */
static bool is_line_of(const struct report_finding *f, const char *line)
{
	struct finding_line l;

	if (f->frame.lua && !strcmp(f->frame.lua, line))
		return true;
	vec_each(e, &f->evidence) {
		const char *text = e->type == EVIDENCE_LINES ? e->text : NULL;

		while (finding_lines_next(&text, &l))
			if (!strcmp(l.line, line))
				return true;
	}
	return false;
}

/* A line that is a finding needs no second card. */
static bool is_told(const struct report *r, const struct report_site *s)
{
	vec_each(f, &r->findings)
		if (f->kind == FINDING_LEAK && f->pid == s->pid && f->state == s->state &&
		    s->frame.lua && is_line_of(f, s->frame.lua))
			return true;
	return false;
}

static size_t put_growing_lines(const struct report *r, const struct findings_alike *a, FILE *out)
{
	size_t shown = 0, more = 0;
	struct growing g;

	for (size_t i = 0; i < r->sites.n; i++) {
		if (r->sites.v[i].verdict < VERDICT_GROWING || more > 1000 ||
		    is_told(r, &r->sites.v[i]) || !sum_growing(r, &r->sites.v[i], &g))
			continue;
		if (shown == GROWING_SHOWN) {
			more++;
			continue;
		}
		put_growing(r, a, &g, out);
		shown++;
	}
	if (more)
		fprintf(out, "<p class=\"dim\">%s%zu more lines grow; see <a href=\"#lines\">Lines</a>.</p>\n",
			more > 1000 ? "over " : "", more);
	return shown;
}

/* From a root down to the object. */
static void put_path(const char *s, FILE *out)
{
	char step[1200];

	while (s && *s) {
		const char *end = strchrnul(s, EVIDENCE_STEP);

		snprintf(step, sizeof(step), "%.*s", (int)(end - s), s);
		xml_put(step, out);
		s = end;
		if (*s && *++s)
			fputs(" → ", out);
	}
}

/* The lines that fill a container. */
static void put_lines(const char *text, FILE *out)
{
	struct finding_line l;
	struct fmtbuf b;

	fputs("<ol>\n", out);
	while (finding_lines_next(&text, &l)) {
		fputs("<li><code>", out);
		xml_put(*l.line ? fmt_chunk(l.line) : "(no Lua line)", out);
		fputs("</code> ", out);
		xml_put(l.kind, out);
		fprintf(out, " %s</li>\n", fmt_bytes(&b, l.bytes));
	}
	fputs("</ol>\n", out);
}

/* All of a stack, Lua's and C's, innermost first. */
static void put_stack(const struct report *r, const char *title, const struct report_stack *st,
		      FILE *out)
{
	char label[1400], brief[1400];

	if (st->n < 2)
		return;
	fprintf(out, "<details><summary>%s</summary>\n<ol>\n", title);
	for (uint32_t i = 0; i < st->n && i < STACK_SHOWN; i++) {
		flame_frame_text(report_frame_at(r, st, i), label, sizeof(label));
		flame_short_text(label, brief, sizeof(brief));
		fputs("<li><code>", out);
		xml_put(brief, out);
		fputs("</code></li>\n", out);
	}
	fputs(st->n > STACK_SHOWN ? "<li>…</li>\n</ol></details>\n" : "</ol></details>\n", out);
}

static void put_value(const struct report *r, const struct report_evidence *e, FILE *out)
{
	struct fmtbuf b;

	switch (e->type) {
	case EVIDENCE_NUMBER:
		fputs(strstr(e->key, "bytes") || strstr(e->key, "size") ? fmt_bytes(&b, e->n) :
		      fmt_count(&b, e->n), out);
		break;
	case EVIDENCE_SIGNED:
		fprintf(out, "%" PRId64, (int64_t)e->n);
		break;
	case EVIDENCE_ADDRESS:
		fprintf(out, "<code>0x%" PRIx64 "</code>", e->n);
		break;
	case EVIDENCE_TEXT:
		xml_put(e->text ? e->text : "", out);
		break;
	case EVIDENCE_PATH:
		put_path(e->text, out);
		break;
	case EVIDENCE_LINES:
		put_lines(e->text, out);
		break;
	case EVIDENCE_STACK:
		page_put_frame(&e->frame, out);
		put_stack(r, "whole stack", &e->stack, out);
		break;
	case EVIDENCE_RATE:
		fprintf(out, "%s/s", fmt_signed_bytes(&b, (int64_t)e->rate));
		break;
	}
}

static void put_evidence(const struct report *r, const struct report_finding *f, FILE *out)
{
	if (!f->evidence.n)
		return;
	fputs("<dl>\n", out);
	vec_each(e, &f->evidence) {
		fputs("<dt>", out);
		for (const char *c = e->key; *c; c++) /* a word of ours: no escape needed */
			putc(*c == '_' ? ' ' : *c, out);
		fputs("</dt><dd>", out);
		put_value(r, e, out);
		fputs("</dd>\n", out);
	}
	fputs("</dl>\n", out);
}

static void put_where(const struct report *r, const struct finding_alike *g, FILE *out)
{
	const struct report_finding *f = g->f;
	struct fmtbuf b, c;

	fputs("<p>", out);
	page_put_frame(&f->frame, out);
	fputs("</p>\n<p class=\"dim\">", out);
	if (f->state)
		fprintf(out, "state %" PRIu32 " · ", f->state);
	if (r->processes.n > 1)
		fprintf(out, "process %d · ", f->pid);
	if (g->n > 1)
		fprintf(out, "and in %zu more state%s, %s %s%s in all · ", g->n - 1, g->n == 2 ? "" : "s",
			fmt_count(&b, g->count), g->bytes ? "blocks, " : "times",
			g->bytes ? fmt_bytes(&c, g->bytes) : "");
	if (f->tid && f->tid != f->pid)
		fprintf(out, "thread %d · ", f->tid);
	if (f->realtime_ns > r->start_realtime_ns)
		fprintf(out, "after %s · ", fmt_seconds(&b, f->realtime_ns - r->start_realtime_ns));
	if (f->count > 1)
		fprintf(out, "seen %s times · ", fmt_count(&b, f->count));
	fprintf(out, "%s</p>\n", confidence_name(f->confidence));
}

static void put_finding(const struct report *r, const struct findings_alike *a,
			const struct finding_alike *g, FILE *out)
{
	const struct report_finding *f = g->f;
	const struct report_site *site = site_of(r, f);

	fprintf(out, "<article class=\"finding %s\">\n<h3><span class=\"tag\">%s %s</span> ",
		severity_name(f->severity), severity_name(f->severity), finding_kind_name(f->kind));
	xml_put(f->message, out);
	fputs("</h3>\n", out);
	put_where(r, g, out);
	put_stack(r, "whole stack", &f->stack, out);
	put_evidence(r, f, out);
	if (tells_holder(f) && !holder_is_told(r, a, f->pid, f->state, g, NULL))
		page_put_held(r, f->pid, f->state, out);
	if (site)
		put_callers(r, site, out);
	if (*f->advice) {
		fputs("<p class=\"next\">", out);
		xml_put(f->advice, out);
		fputs("</p>\n", out);
	}
	fputs("</article>\n", out);
}

void page_put_findings(const struct report *r, const struct page_source *from, FILE *out)
{
	static const char *const views[] = { "v_findings", "v_evidence", "v_leaks", NULL };
	struct findings_alike a;
	size_t n = 0;

	page_open("findings", "Findings", out);
	if (findings_alike(r, &a))
		fputs("<p>Out of memory: the findings are left out.</p>\n", out);
	vec_each(g, &a.groups)
		if (n++ < FINDINGS_SHOWN)
			put_finding(r, &a, g, out);
	if (n > FINDINGS_SHOWN)
		fprintf(out, "<p class=\"dim\">%zu more findings are in the file.</p>\n", n - FINDINGS_SHOWN);
	if (!put_growing_lines(r, &a, out) && !n)
		fputs("<p class=\"calm\">No finding. No line keeps growing over garbage collections.</p>\n",
		      out);
	findings_alike_deinit(&a);
	page_close(from, views, out);
}
