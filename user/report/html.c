/* SPDX-License-Identifier: MIT */
/*
 * The flame graph as a page of its own: nothing is loaded from anywhere, only its own script and
 * style run (by a nonce), and every word of the target is text. Without scripts the table of
 * lines remains.
 */
#include <inttypes.h>
#include <string.h>

#include "base/embed.h"
#include "base/fmt.h"
#include "flame.h"
#include "xml.h"

EMBED(html_css, "user/report/assets/html.css");
EMBED(html_js, "user/report/assets/html.js");

#define TABLE_ROWS 50

static void put_head(const struct report *r, const char *nonce, FILE *out)
{
	fprintf(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
		"script-src 'nonce-%s'; style-src 'nonce-%s'; base-uri 'none'; form-action 'none'\">\n"
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		"<meta name=\"color-scheme\" content=\"light dark\">\n<title>luamemtrace", nonce, nonce);
	if (r->processes.n) {
		fputs(": ", out);
		xml_put(r->processes.v[0].comm, out);
	}
	fprintf(out, "</title>\n<style nonce=\"%s\">\n%s</style>\n</head>\n<body>\n", nonce, html_css);
}

static void put_title(const struct report *r, FILE *out)
{
	struct fmtbuf a, b;

	fputs("<header><h1>", out);
	if (r->processes.n)
		xml_put(r->processes.v[0].comm, out);
	if (r->processes.n > 1)
		fprintf(out, " <small>and %zu more processes</small>", r->processes.n - 1);
	else if (r->processes.n)
		fprintf(out, " <small>process %d</small>", r->processes.v[0].pid);
	fputs("</h1>\n<p class=\"sub\">", out);
	vec_each(rt, &r->runtimes) {
		if (rt != r->runtimes.v)
			fputs(", ", out);
		xml_put(rt->title, out);
		fputs(" in ", out);
		xml_put(rt->module, out);
	}
	fprintf(out, " · %s until %s</p></header>\n",
		fmt_seconds(&a, r->end_realtime_ns - r->start_realtime_ns),
		fmt_rfc3339(&b, r->end_realtime_ns));
}

/* What was not seen stands before any number. */
static void put_completeness(const struct report *r, FILE *out)
{
	struct fmtbuf b;

	if (report_complete(r)) {
		fprintf(out, "<p class=\"banner ok\">Every one of %s allocator calls since the attach is "
			"accounted for.", fmt_count(&b, r->events));
	} else {
		fputs("<p class=\"banner warn\">Not everything was seen:", out);
		for (unsigned int i = 0; i < LMT_STAT_MAX; i++)
			if (r->lost[i])
				fprintf(out, " %s %s;", fmt_count(&b, r->lost[i]), report_lost_text(i));
		vec_each(s, &r->blind_spots) {
			putc(' ', out);
			xml_put(*s, out);
			putc(';', out);
		}
		if (r->windows)
			fprintf(out, " the figures are estimates from windows in which %.1f %% of the "
				"allocator calls were seen;", r->seen_pct);
	}
	if (r->sample_bytes > 1)
		fprintf(out, " Lines are exact; they are divided among their callers by sampling one stack "
			"in %s.", fmt_bytes(&b, r->sample_bytes));
	if (r->predates_attach_bytes)
		fprintf(out, " %s of the heap predate the attach and are not shown.",
			fmt_bytes(&b, r->predates_attach_bytes));
	fputs("</p>\n", out);
}

static void put_tile(FILE *out, const char *title, const char *value)
{
	fprintf(out, "<div class=\"tile\"><b>%s</b><span>%s</span></div>\n", value, title);
}

static void put_tiles(const struct report *r, FILE *out)
{
	uint64_t live = 0, blocks = 0, bytes = 0, allocs = 0, leaks = 0;
	struct fmtbuf b;

	vec_each(s, &r->sites) {
		live += s->live_bytes;
		blocks += s->live_blocks;
		bytes += s->alloc_bytes;
		allocs += s->allocs;
		leaks += s->verdict >= VERDICT_GROWING;
	}
	fputs("<section class=\"tiles\">\n", out);
	put_tile(out, "live, allocated since the attach", fmt_bytes(&b, live));
	put_tile(out, "live blocks", fmt_count(&b, blocks));
	put_tile(out, "allocated", fmt_bytes(&b, bytes));
	put_tile(out, "allocations", fmt_count(&b, allocs));
	put_tile(out, "lines that grow", fmt_count(&b, leaks));
	fputs("</section>\n", out);
}

void html_put_graph(const struct flame *f, enum metric m, FILE *out)
{
	fputs("<section class=\"graph\" id=\"graph\" hidden>\n<div class=\"bar\">\n<div class=\"seg\" "
	      "id=\"metric\" role=\"group\" aria-label=\"metric\">", out);
	for (int i = 0; i < METRIC_MAX; i++)
		fprintf(out, "<button type=\"button\" data-m=\"%d\" aria-pressed=\"%s\">%s</button>", i,
			i == (int)m ? "true" : "false", metric_title((enum metric)i));
	fputs("</div>\n<select id=\"state\" aria-label=\"state\"></select>"
	      "<select id=\"kind\" aria-label=\"kind of block\"></select>\n", out);
	if (f->base_realtime_ns)
		fputs("<button type=\"button\" id=\"diff\" aria-pressed=\"false\">change since the first "
		      "report</button>\n", out);
	fputs("<button type=\"button\" id=\"invert\" aria-pressed=\"false\">upside down</button>"
	      "<button type=\"button\" id=\"reset\" disabled>reset zoom</button>\n"
	      "<input type=\"search\" id=\"search\" placeholder=\"search (/)\" aria-label=\"search\">"
	      "<output id=\"hits\"></output>\n</div>\n<canvas id=\"flame\" tabindex=\"0\"></canvas>\n"
	      "<div id=\"tip\" hidden></div>\n<p class=\"legend\"><i class=\"lua\"></i>Lua"
	      "<i class=\"jit\"></i>Lua in a JIT trace<i class=\"c\"></i>C<i class=\"gc\"></i>finalizer"
	      "</p>\n</section>\n", out);
}

static void put_row(const struct report_site *s, FILE *out)
{
	const char *where = s->frame.lua ? s->frame.lua : "(no Lua code on the stack)";
	struct fmtbuf a, b, c, d;

	fprintf(out, "<tr class=\"%s\"><td>%s</td><td class=\"n\">%s</td><td class=\"n\">%s</td>"
		"<td class=\"n\">%s</td><td class=\"n\">%s%s</td><td>%s</td><td class=\"w\">",
		verdict_name(s->verdict), verdict_name(s->verdict), fmt_bytes(&a, s->live_bytes),
		fmt_count(&b, s->live_blocks), fmt_bytes(&c, s->alloc_bytes),
		s->growth_bytes_per_s >= 1
			? fmt_signed_bytes(&d, (int64_t)s->growth_bytes_per_s) : "",
		s->growth_bytes_per_s >= 1 ? "/s" : "", s->kind);
	xml_put(fmt_chunk(where), out);
	if (s->frame.approx)
		fputs(" <small>line approximate</small>", out);
	fputs("</td></tr>\n", out);
}

static void put_table(const struct report *r, FILE *out)
{
	size_t n = 0;

	fputs("<section><h2>Lines</h2>\n<table><thead><tr><th>verdict</th><th>live</th><th>blocks</th>"
	      "<th>allocated</th><th>growth</th><th>kind</th><th>where</th></tr></thead><tbody>\n", out);
	vec_each(s, &r->sites)
		if (n++ < TABLE_ROWS)
			put_row(s, out);
	fputs("</tbody></table>\n", out);
	if (n > TABLE_ROWS)
		fprintf(out, "<p class=\"sub\">%zu more lines are in the graph.</p>\n", n - TABLE_ROWS);
	fputs("</section>\n", out);
}

static void put_numbers(const uint64_t v[METRIC_MAX], FILE *out)
{
	for (int m = 0; m < METRIC_MAX; m++)
		fprintf(out, ",%" PRIu64, v[m]);
}

static void put_states(const struct flame *f, const struct report *r, FILE *out)
{
	fputs("\"states\":[", out);
	vec_each(s, &f->states) {
		fprintf(out, "%s\"%s", s == f->states.v ? "" : ",", s->state ? "state " : "no state");
		if (s->state)
			fprintf(out, "%u", s->state);
		if (r->processes.n > 1)
			fprintf(out, ", process %d", s->pid);
		putc('"', out);
	}
	fputs("],\"kinds\":[", out);
	vec_each(k, &f->kinds) {
		if (k != f->kinds.v)
			putc(',', out);
		xml_put_json(*k, out);
	}
	fputs("]", out);
}

/* Labels by id, nodes as [parent, label, class], samples as [node, state, kind, numbers…]. */
void html_put_data(const struct flame *f, const struct report *r, enum metric m, FILE *out)
{
	uint32_t n_labels = 0;

	fputs("<script type=\"application/json\" id=\"data\">{\"labels\":[\"\"", out);
	vec_each(n, &f->nodes)
		n_labels = n->label > n_labels ? n->label : n_labels;
	for (uint32_t i = 1; i <= n_labels; i++) {
		putc(',', out);
		xml_put_json(strpool_get(f->text, i), out);
	}
	fputs("],\"nodes\":[", out);
	vec_each(n, &f->nodes)
		fprintf(out, "%s[%u,%u,%u]", n == f->nodes.v ? "" : ",", n->parent, n->label, n->class);
	fputs("],\"samples\":[", out);
	vec_each(s, &f->samples) {
		fprintf(out, "%s[%u,%u,%u", s == f->samples.v ? "" : ",", s->node, s->state, s->kind);
		put_numbers(s->now, out);
		if (f->base_realtime_ns)
			put_numbers(s->base, out);
		putc(']', out);
	}
	fputs("],", out);
	put_states(f, r, out);
	fprintf(out, ",\"metric\":%d}</script>\n", (int)m);
}

void html_write(const struct flame *f, const struct report *r, enum metric m, const char *nonce,
		FILE *out)
{
	put_head(r, nonce, out);
	put_title(r, out);
	put_completeness(r, out);
	put_tiles(r, out);
	html_put_graph(f, m, out);
	put_table(r, out);
	fputs("<footer>luamemtrace " LMT_VERSION "</footer>\n", out);
	html_put_data(f, r, m, out);
	fprintf(out, "<script nonce=\"%s\">\n%s</script>\n</body>\n</html>\n", nonce, html_js);
}
