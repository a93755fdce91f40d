/* SPDX-License-Identifier: MIT */
#include "printer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "report/calls.h"
#include "report/format.h"
#include "trace/build_report.h"

struct printer {
	struct trace_sink sink;
	const struct options *opt;
	bool calls_begun; /* a line of --trace is out */
};

static struct printer *printer_of(struct trace_sink *k)
{
	return (struct printer *)k;
}

static void flush(struct session *s)
{
	if (fflush(stdout) || ferror(stdout))
		session_write_failed(s, errno);
}

static int on_look(struct trace_sink *k, struct session *s, const struct trace_look *l)
{
	const struct printer *p = printer_of(k);
	struct format_options fo = {
		.color = p->opt->color,
		.first = s->reports == 0 && !(p->opt->json && p->calls_begun),
	};

	if (!l->r)
		return 0;
	format_find(p->opt->json ? "json" : "text")->write(l->r, &fo, stdout);
	flush(s);
	return 0;
}

/* The heading, or what every stream of records begins with. */
static void begin_calls(struct printer *p, const struct session *s)
{
	struct report r = { .mode = "exact" };

	p->calls_begun = true;
	if (!p->opt->json) {
		calls_write_heading(stdout);
		return;
	}
	build_report_header(s, &r);
	json_write_header(&r, stdout);
}

static void on_call(struct trace_sink *k, struct session *s, const struct report_call *c)
{
	struct printer *p = printer_of(k);

	if (!p->calls_begun)
		begin_calls(p, s);
	if (p->opt->json)
		calls_write_json(c, stdout);
	else
		calls_write_text(c, stdout);
	if (ferror(stdout))
		session_write_failed(s, errno);
}

/* Who reads a pipe waits for the lines. */
static void on_drained(struct trace_sink *k, struct session *s)
{
	if (printer_of(k)->calls_begun)
		flush(s);
}

/* Where a screen showed the others, only the last report is printed. */
static int before_end(struct trace_sink *k, struct session *s, bool broke_off)
{
	(void)s;
	(void)broke_off;
	k->takes_reports = true;
	return 0;
}

static void free_printer(struct trace_sink *k)
{
	free(k);
}

static const struct trace_sink_ops ops = {
	.on_look = on_look,
	.on_call = on_call,
	.on_drained = on_drained,
	.before_end = before_end,
	.free = free_printer,
};

int printer_new(const struct options *opt, struct trace_sink **ret)
{
	struct printer *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->opt = opt;
	p->sink = (struct trace_sink){ .ops = &ops, .fd = -1, .takes_reports = !opt->screen,
				       .only_new = opt->json };
	*ret = &p->sink;
	return 0;
}
