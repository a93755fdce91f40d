/* SPDX-License-Identifier: MIT */
#include "serve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http.h"
#include "options.h"
#include "report/flame.h"
#include "report/prometheus.h"
#include "trace/session.h"

#define METRIC_SITES 50 /* unless -T says another number */

struct serve {
	struct trace_sink sink;
	const struct options *opt;
	struct session *session;
	struct http *http;
	const struct page *wanted; /* while a report is made for it */
	char *text;                /* the answer */
	size_t len;
};

struct page {
	const char *path, *type;
	int (*write)(const struct serve *v, const struct report *r, FILE *out);
};

static int write_metrics(const struct serve *v, const struct report *r, FILE *out)
{
	const struct options *o = v->opt;
	const struct prometheus_options how = {
		.max_sites = o->top_given ? o->top : METRIC_SITES,
		.max_series = o->max_series,
		.pid = o->metric_label != 0,
	};

	return prometheus_write(r, &how, out);
}

static int write_heap(const struct serve *v, const struct report *r, FILE *out)
{
	(void)v;
	return pprof_write(r, out);
}

static int write_index(const struct serve *v, const struct report *r, FILE *out)
{
	(void)v;
	fprintf(out, "luamemtrace " LMT_VERSION ", %zu processes, %zu states\n\n"
		"/metrics           for Prometheus\n"
		"/healthz           ok, while it runs\n"
		"/debug/pprof/heap  heap profile: go tool pprof http://…/debug/pprof/heap\n",
		r->processes.n, r->states.n);
	return 0;
}

static const struct page pages[] = {
	{ "/metrics", PROMETHEUS_TYPE, write_metrics },
	{ "/debug/pprof/heap", "application/octet-stream", write_heap },
	{ "/", "text/plain; charset=utf-8", write_index },
};

static struct serve *serve_of(struct trace_sink *k)
{
	return (struct serve *)k;
}

/* The report that the answer is made of. */
static int on_look(struct trace_sink *k, struct session *s, const struct trace_look *l)
{
	struct serve *v = serve_of(k);
	FILE *out;
	int rc;

	(void)s;
	if (!v->wanted)
		return 0;
	out = open_memstream(&v->text, &v->len);
	if (!out)
		return -ENOMEM;
	rc = v->wanted->write(v, l->r, out);
	if (fclose(out) && !rc)
		rc = -ENOMEM;
	return rc;
}

/* Makes a report, and the page of it. */
static bool show(struct serve *v, const struct page *p, struct http_answer *ret)
{
	int rc;

	v->wanted = p;
	v->text = NULL;
	rc = session_look(v->session, true, false);
	v->wanted = NULL;
	if (rc || !v->text) {
		free(v->text);
		return http_say(ret, 500, "no report could be made\n");
	}
	*ret = (struct http_answer){ .status = 200, .type = p->type, .text = v->text,
				     .len = v->len };
	return true;
}

static bool on_request(void *ctx, const char *path, struct http_answer *ret)
{
	if (!strcmp(path, "/healthz"))
		return http_say(ret, 200, "ok\n"); /* the loop runs: no report is made for it */
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		if (!strcmp(path, pages[i].path))
			return show(ctx, &pages[i], ret);
	return http_say(ret, 404, "there are /metrics and /debug/pprof/heap\n");
}

static int open_serve(struct trace_sink *k, struct session *s, struct errmsg *err)
{
	struct serve *v = serve_of(k);
	int rc = http_open(v->opt->listen, on_request, v, &v->http, err);

	if (rc)
		return rc;
	v->session = s;
	k->fd = http_fd(v->http);
	return 0;
}

/* Also now and then, for connections that say nothing. */
static void on_ready(struct trace_sink *k, struct session *s)
{
	(void)s;
	http_run(serve_of(k)->http);
}

static void free_serve(struct trace_sink *k)
{
	struct serve *v = serve_of(k);

	http_close(v->http);
	free(v);
}

static const struct trace_sink_ops ops = {
	.open = open_serve,
	.on_look = on_look,
	.on_ready = on_ready,
	.free = free_serve,
};

int serve_new(const struct options *opt, struct trace_sink **ret)
{
	struct serve *v = calloc(1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	v->opt = opt;
	v->sink = (struct trace_sink){ .ops = &ops, .fd = -1, .ticks = true, .takes_reports = true,
				       .whole = true };
	*ret = &v->sink;
	return 0;
}
