/* SPDX-License-Identifier: MIT */
#include "exports.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/cleanup.h"
#include "report/page.h"
#include "stored.h"
#include "trace/sink.h"

static bool has_suffix(const char *s, const char *suffix)
{
	size_t n = strlen(s), k = strlen(suffix);

	return n >= k && !strcmp(s + n - k, suffix);
}

void exports_deinit(struct exports *e)
{
	for (size_t i = 0; i < EXPORTS; i++)
		outfile_deinit(&e->out[i]);
	flame_free(e->flame);
	e->flame = NULL;
}

/* A word nobody can guess, so that nothing that slipped in could run as a script. */
static void make_nonce(char nonce[33])
{
	unsigned char bytes[16] = { 0 };

	if (getrandom(bytes, sizeof(bytes), 0) < 0)
		bytes[0] = 1;
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(nonce + 2 * i, 3, "%02x", bytes[i]);
}

static int write_graph(const struct exports *e, const struct options *opt, const struct report *r,
		       FILE *out)
{
	char nonce[33];

	make_nonce(nonce);
	if (has_suffix(opt->flamegraph, ".html"))
		html_write(e->flame, r, METRIC_INUSE_SPACE, nonce, out);
	else
		svg_write(e->flame, r, METRIC_INUSE_SPACE, out);
	return 0;
}

static int write_page(const struct exports *e, const struct options *opt, const struct report *r,
		      FILE *out)
{
	auto_free char *file = opt->n_words ? stored_path(opt->words[0]) : NULL;
	struct page_source from = { file, stored_describe };
	char nonce[33];

	make_nonce(nonce);
	page_write(r, e->flame, &from, nonce, out);
	return 0;
}

static int write_pprof(const struct exports *e, const struct options *opt, const struct report *r,
		       FILE *out)
{
	(void)e;
	(void)opt;
	return pprof_write(r, out);
}

/* What may be written beside a report. */
static const struct {
	size_t path; /* the option that names the file: offset in struct options */
	int (*write)(const struct exports *e, const struct options *opt, const struct report *r,
		     FILE *out);
} exports[EXPORTS] = {
	{ offsetof(struct options, flamegraph), write_graph },
	{ offsetof(struct options, html), write_page },
	{ offsetof(struct options, pprof), write_pprof },
};

static const char *path_of(const struct options *opt, size_t i)
{
	return *(const char *const *)((const char *)opt + exports[i].path);
}

int exports_open(struct exports *e, const struct options *opt, struct errmsg *err)
{
	const char *graph = opt->flamegraph;
	int rc = 0;

	if (graph && !outfile_is_stdout(graph) && !has_suffix(graph, ".svg") && !has_suffix(graph, ".html"))
		return errmsg_set(err, -EINVAL, "'%s' is neither FILE.svg nor FILE.html", graph);
	for (size_t i = 0; !rc && i < EXPORTS; i++)
		rc = path_of(opt, i) ? outfile_open(&e->out[i], path_of(opt, i), err) : 0;
	return rc;
}

bool exports_wanted(const struct options *opt)
{
	bool any = opt->folded;

	for (size_t i = 0; i < EXPORTS; i++)
		any |= path_of(opt, i) != NULL;
	return any;
}

unsigned int exports_take_stdout(const struct options *opt)
{
	unsigned int n = opt->folded != 0;

	for (size_t i = 0; i < EXPORTS; i++)
		n += path_of(opt, i) && outfile_is_stdout(path_of(opt, i));
	return n;
}

static int write_all(struct exports *e, const struct options *opt, const struct report *r)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < EXPORTS; i++) {
		if (!e->out[i].f)
			continue;
		rc = exports[i].write(e, opt, r, e->out[i].f);
		rc = rc ? rc : outfile_commit(&e->out[i]);
	}
	if (!rc && opt->folded) {
		folded_write(e->flame, (enum metric)(opt->folded - 1), stdout);
		rc = fflush(stdout) || ferror(stdout) ? -EIO : 0;
	}
	return rc;
}

/* errno tells the caller why, as after any failed write. */
int exports_report(struct exports *e, const struct options *opt, const struct report *r)
{
	bool first = !e->flame;
	int rc = 0;

	if (!exports_wanted(opt))
		return 0;
	if (first)
		rc = flame_new(&e->flame);
	if (!rc && (r->last || first))
		rc = flame_add(e->flame, r, !r->last);
	if (!rc && r->last) {
		flame_finish(e->flame);
		rc = write_all(e, opt, r);
	}
	if (rc && rc != -EIO)
		errno = -rc;
	return rc;
}

struct exports_sink {
	struct trace_sink sink;
	const struct options *opt;
	struct exports e;
};

static struct exports_sink *exports_of(struct trace_sink *k)
{
	return (struct exports_sink *)k;
}

static int open_exports(struct trace_sink *k, struct session *s, struct errmsg *err)
{
	(void)s;
	return exports_open(&exports_of(k)->e, exports_of(k)->opt, err);
}

static int on_look(struct trace_sink *k, struct session *s, const struct trace_look *l)
{
	if (exports_report(&exports_of(k)->e, exports_of(k)->opt, l->r))
		session_write_failed(s, errno);
	return 0;
}

static void free_exports(struct trace_sink *k)
{
	exports_deinit(&exports_of(k)->e);
	free(k);
}

static const struct trace_sink_ops ops = {
	.open = open_exports,
	.on_look = on_look,
	.free = free_exports,
};

int exports_new(const struct options *opt, struct trace_sink **ret)
{
	struct exports_sink *k = calloc(1, sizeof(*k));

	if (!k)
		return -ENOMEM;
	k->opt = opt;
	k->sink = (struct trace_sink){ .ops = &ops, .fd = -1, .takes_reports = true };
	/* They are put into a folder that may be another user's. */
	if (opt->flamegraph || opt->html || opt->pprof)
		k->sink.capabilities = 1ull << CAP_DAC_OVERRIDE | 1ull << CAP_FOWNER;
	*ret = &k->sink;
	return 0;
}
