/* SPDX-License-Identifier: MIT */
#include "page.h"

#include <inttypes.h>
#include <string.h>

#include "base/embed.h"
#include "base/fmt.h"
#include "xml.h"

EMBED(page_css, "user/report/assets/page.css");
EMBED(page_js, "user/report/assets/page.js");

void page_open(const char *id, const char *title, FILE *out)
{
	fprintf(out, "<section id=\"%s\" aria-labelledby=\"h-%s\">\n<h2 id=\"h-%s\">%s</h2>\n", id, id, id,
		title);
}

/* The reader can ask the file the same question. */
void page_close(const struct page_source *from, const char *const *views, FILE *out)
{
	if (!from->file) {
		fputs("</section>\n", out);
		return;
	}
	fputs("<details class=\"sql\"><summary>SQL behind this</summary>\n", out);
	for (; *views; views++) {
		const char *about = "", *sql = "";

		from->describe(*views, &about, &sql);
		fputs("<p><code>sqlite3 -box ", out);
		xml_put(from->file, out);
		fprintf(out, " 'SELECT * FROM %s'</code> <small>%s</small></p>\n<pre>", *views, about);
		xml_put(sql, out);
		fputs("</pre>\n", out);
	}
	fputs("</details>\n</section>\n", out);
}

void page_put_frame(const struct report_frame *f, FILE *out)
{
	if (!f->lua) {
		fputs("<span class=\"dim\">no Lua code on the stack</span>", out);
		return;
	}
	fputs("<code>", out);
	xml_put(fmt_chunk(f->lua), out);
	fputs("</code>", out);
	if (f->name) {
		fputs(" in <code>", out);
		xml_put(f->name, out);
		fputs("</code>", out);
	}
	if (f->approx)
		fputs(" <small>line approximate</small>", out);
}

static void put_head(const struct report *r, const char *nonce, FILE *out)
{
	fprintf(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
		"script-src 'nonce-%s'; style-src 'nonce-%s'; base-uri 'none'; form-action 'none'\">\n"
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		"<meta name=\"color-scheme\" content=\"light dark\">\n"
		"<meta name=\"referrer\" content=\"no-referrer\">\n<title>", nonce, nonce);
	if (r->processes.n)
		xml_put(r->processes.v[0].comm, out);
	fprintf(out, " · Lua memory incident</title>\n<style nonce=\"%s\">\n%s%s</style>\n</head>\n<body>\n"
		"<a class=\"skip\" href=\"#findings\">Skip to the findings</a>\n", nonce, html_css, page_css);
}

static void put_fact(const char *name, const char *value, FILE *out)
{
	if (!value || !*value)
		return;
	fprintf(out, "<div><dt>%s</dt><dd>", name);
	xml_put(value, out);
	fputs("</dd></div>\n", out);
}

static void put_title(const struct report *r, FILE *out)
{
	struct fmtbuf a, b, c;

	fputs("<header>\n<p class=\"kicker\">Lua memory incident</p>\n<h1>", out);
	if (r->processes.n)
		xml_put(r->processes.v[0].comm, out);
	if (r->processes.n > 1)
		fprintf(out, " <small>and %zu more process%s</small>", r->processes.n - 1,
			r->processes.n > 2 ? "es" : "");
	else if (r->processes.n)
		fprintf(out, " <small>process %d</small>", r->processes.v[0].pid);
	fputs("</h1>\n<dl class=\"facts\">\n", out);
	for (size_t i = 0; i < r->runtimes.n && i < 3; i++)
		put_fact(i ? "and" : "runtime", r->runtimes.v[i].title, out);
	fmt_rfc3339(&a, r->start_realtime_ns);
	snprintf(a.s + 19, sizeof(a.s) - 19, " UTC"); /* seconds will do */
	a.s[10] = ' ';
	put_fact("recorded", a.s, out);
	put_fact("for", fmt_seconds(&b, r->end_realtime_ns - r->start_realtime_ns), out);
	put_fact("allocator calls", fmt_count(&c, r->events), out);
	if (r->processes.n)
		put_fact("program", r->processes.v[0].exe, out);
	if (r->processes.n)
		put_fact("container", r->processes.v[0].container, out);
	put_fact("kernel", r->kernel, out);
	put_fact("end", r->end_reason, out);
	fputs("</dl>\n</header>\n", out);
}

static void put_doubt(const char *n, const char *text, FILE *out)
{
	fputs("<li>", out);
	if (n)
		fprintf(out, "<b>%s</b> ", n);
	xml_put(text, out);
	fputs("</li>\n", out);
}

/* What was not seen stands before any number. */
static void put_completeness(const struct report *r, FILE *out)
{
	bool complete = report_complete(r) && !r->left_out && !r->detail_dropped;
	struct fmtbuf b;

	fprintf(out, "<aside class=\"banner %s\" aria-label=\"completeness\">\n<p><b>%s</b> ",
		complete ? "ok" : "warn", complete ? "Complete." : "Not complete.");
	fprintf(out, "%s</p>\n<ul>\n", complete ?
		"Nothing was lost: every allocator call since the attach is accounted for." :
		"The figures below are what was seen; this was not:");
	for (unsigned int i = 0; i < LMT_STAT_MAX; i++)
		if (r->lost[i])
			put_doubt(fmt_count(&b, r->lost[i]), report_lost_text(i), out);
	vec_each(s, &r->blind_spots)
		put_doubt(NULL, *s, out);
	if (r->windows) {
		char pct[32];

		snprintf(pct, sizeof(pct), "%.1f %%", 100 - r->seen_pct);
		put_doubt(pct, "of the allocator calls: they are seen in windows, to keep the overhead "
			  "within its limit; -m exact sees all", out);
	}
	if (r->left_out)
		put_doubt(fmt_count(&b, r->left_out), "states and lines that had no room in the file", out);
	if (r->detail_dropped)
		put_doubt(NULL, "the lines of this moment, given up for the size limit of the file", out);
	if (r->predates_attach_bytes)
		put_doubt(fmt_bytes(&b, r->predates_attach_bytes),
			  "of the heap predate the attach: their lines are not known", out);
	fputs("</ul>\n</aside>\n", out);
}

static void put_nav(const struct report *r, FILE *out)
{
	static const char *const links[][2] = {
		{ "findings", "Findings" }, { "time", "Over time" }, { "who", "Flame graph" },
		{ "lines", "Lines" },
		{ "heaps", "Heap" }, { "types", "Types" }, { "states", "States" }, { "runtimes", "Runtimes" },
	};

	fputs("<nav aria-label=\"sections\"><ul>\n", out);
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		if ((strcmp(links[i][0], "time") || r->series.n) &&
		    (strcmp(links[i][0], "who") || r->sites.n) &&
		    (strcmp(links[i][0], "heaps") || r->censuses.n))
			fprintf(out, "<li><a href=\"#%s\">%s</a></li>\n", links[i][0], links[i][1]);
	fputs("</ul></nav>\n", out);
}

static void put_time(const struct report *r, const struct page_source *from, FILE *out)
{
	static const char *const views[] = { "v_series", "v_events", NULL };

	if (!r->series.n)
		return;
	page_open("time", "Over time", out);
	fputs("<div class=\"card chart\" id=\"chart\">\n<div class=\"bar\">"
	      "<label for=\"which\">state</label> <select id=\"which\"></select>"
	      "<p class=\"legend\"><i class=\"heap\"></i>heap, as the VM counts"
	      "<i class=\"live\"></i>live since the attach<i class=\"gc\"></i>GC cycles"
	      "<i class=\"mark\"></i>events</p></div>\n"
	      "<div id=\"plot\" tabindex=\"0\" role=\"img\" aria-describedby=\"plot-text\"></div>\n"
	      "<p id=\"plot-text\" class=\"dim\" aria-live=\"polite\"></p>\n"
	      "<noscript>The chart needs its script; the same figures are under States and in the "
	      "file.</noscript>\n</div>\n", out);
	page_close(from, views, out);
}

static void put_flame(const struct report *r, const struct flame *f, const struct page_source *from,
		      FILE *out)
{
	static const char *const views[] = { "v_stacks", "v_frames", NULL };
	struct fmtbuf b;

	page_open("who", "Who allocates", out);
	if (r->sample_bytes > 1)
		fprintf(out, "<p class=\"dim\">Lines are exact; each is divided among its callers by sampling "
			"one stack in %s.</p>\n", fmt_bytes(&b, r->sample_bytes));
	html_put_graph(f, METRIC_INUSE_SPACE, out);
	fputs("<noscript>The graph needs its script; the same figures are in the table below.</noscript>\n",
	      out);
	page_close(from, views, out);
}

void page_write(const struct report *r, const struct flame *f, const struct page_source *from,
		const char *nonce, FILE *out)
{
	put_head(r, nonce, out);
	put_title(r, out);
	put_completeness(r, out);
	put_nav(r, out);
	fputs("<main>\n", out);
	page_put_findings(r, from, out);
	put_time(r, from, out);
	if (r->sites.n)
		put_flame(r, f, from, out);
	page_put_lines(r, from, out);
	page_put_heaps(r, from, out);
	page_put_types(r, from, out);
	page_put_states(r, from, out);
	page_put_runtimes(r, from, out);
	fputs("</main>\n<footer>", out);
	if (r->recorded_by) {
		fputs("Recorded by luamemtrace ", out);
		xml_put(r->recorded_by, out);
		fputs(": <code>", out);
		xml_put(r->command ? r->command : "", out);
		fputs("</code>. ", out);
	}
	fputs("Written by luamemtrace " LMT_VERSION ". This page loads nothing.</footer>\n", out);
	page_put_data(r, out);
	if (r->sites.n) {
		html_put_data(f, r, METRIC_INUSE_SPACE, out);
		fprintf(out, "<script nonce=\"%s\">\n%s</script>\n", nonce, html_js);
	}
	fprintf(out, "<script nonce=\"%s\">\n%s</script>\n</body>\n</html>\n", nonce, page_js);
}
