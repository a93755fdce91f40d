/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "census_graph.h"
#include "exports.h"
#include "report/census_report.h"
#include "trace/build_report.h"
#include "trace/session.h"

#define DEFAULT_TOP 10
#define OWN_MAPPING (1 << 20) /* bytes; what is as large goes back to the system when freed */

struct run {
	struct options *o;
	struct session *s;
	struct census_options opt;
	struct census *census;
	struct census_process *process;
	struct errmsg *failed; /* by process */
	size_t n;
};

static int parse_paths(struct run *r, struct errmsg *err)
{
	auto_free char *copy = strdup(r->o->path_text ? r->o->path_text : "");
	char *rest = copy, *word, *end;

	while (copy && *copy && (word = strsep(&rest, ","))) {
		uint64_t at = strtoull(word, &end, 16);

		if (!at || *end)
			return errmsg_set(err, -EINVAL, "'%s' is not an address; as Lua prints it: 0x55…",
					  word);
		if (vec_push(&r->opt.paths, at))
			return errmsg_set(err, -ENOMEM, "out of memory");
	}
	return copy ? 0 : errmsg_set(err, -ENOMEM, "out of memory");
}

static int run_open(struct run *r, struct errmsg *err)
{
	const struct options *o = r->o;

	r->opt.by = (enum census_by)o->by;
	r->opt.top = o->top ? o->top : DEFAULT_TOP;
	r->opt.pause_budget_ns = o->pause_budget_ms * 1000000;
	r->opt.show_strings = o->strings;
	r->opt.folded = o->folded || o->flamegraph;
	r->census = calloc(r->s->targets.all.n + 1, sizeof(*r->census));
	r->process = calloc(r->s->targets.all.n + 1, sizeof(*r->process));
	r->failed = calloc(r->s->targets.all.n + 1, sizeof(*r->failed));
	if (!r->census || !r->process || !r->failed)
		return errmsg_set(err, -ENOMEM, "out of memory");
	return parse_paths(r, err);
}

static void run_close(struct run *r)
{
	for (size_t i = 0; i < r->n; i++)
		census_deinit(&r->census[i]);
	free(r->census);
	free(r->process);
	free(r->failed);
	vec_deinit(&r->opt.paths);
}

/* Which of the process' states is the one asked for; none: a number beyond. */
static uint64_t own_number(const struct run *r, const struct session_target *t, uint32_t first)
{
	uint64_t want = r->o->only_state;

	if (!want)
		return 0;
	return want >= first && want - first < t->resolved->states.n ? want - first + 1
								     : UINT64_MAX;
}

/* One process after the other: the copy of one is given back before the next is made. */
static int take_all(struct run *r, struct errmsg *err)
{
	uint32_t first = 1;
	int rc = 0;

	vec_each(t, &r->s->targets.all) {
		struct census *c = &r->census[r->n];
		struct census_process *p = &r->process[r->n];

		r->opt.only_state = own_number(r, t, first);
		census_init(c, t->target, &t->mem, t->resolved, &r->opt);
		*p = (struct census_process){ .census = c, .first_state = first };
		rc = census_take(c, &r->failed[r->n]);
		if (rc)
			p->failed = r->failed[r->n].text;
		else
			rss_breakdown_build(c, &p->rss_breakdown);
		image_deinit(&c->copier.im);
		first += (uint32_t)t->resolved->states.n;
		r->n++;
		if (rc && r->s->targets.all.n == 1)
			return errmsg_set(err, rc, "%s", p->failed);
	}
	return 0;
}

static int write_graph(struct run *r, struct built_report *b)
{
	struct exports e = { 0 };
	struct options graph = *r->o; /* folded stacks have a writer of their own */
	struct errmsg err;
	int rc;

	if (!r->o->flamegraph)
		return 0;
	graph.folded = 0;
	rc = exports_open(&e, &graph, &err);
	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < r->n; i++)
		rc = census_graph_add(b, &r->census[i], r->process[i].first_state);
	if (!rc)
		rc = exports_report(&e, &graph, &b->r);
	exports_deinit(&e);
	return rc;
}

static int write_all(struct run *r, struct built_report *b, bool *findings_ret)
{
	const struct options *o = r->o;
	struct census_report cr = {
		.r = &b->r, .process = r->process, .n = r->n, .top = r->opt.top,
		.color = o->color,
	};
	int rc = build_report_static(r->s, false, false, b);

	if (rc)
		return rc;
	*findings_ret = census_report_findings(&cr) > 0;
	rc = write_graph(r, b);
	if (rc || (o->flamegraph && outfile_is_stdout(o->flamegraph)))
		return rc;
	if (o->folded)
		census_write_folded(&cr, stdout);
	else if (o->json)
		census_write_json(&cr, stdout);
	else
		census_write_text(&cr, stdout);
	return 0;
}

/* Nothing at all could be counted: then the exit status says so, and this why. */
static int nothing_told(const struct run *r, struct errmsg *err)
{
	const char *why = NULL, *not_stopped = NULL;

	for (size_t i = 0; i < r->n; i++) {
		vec_each(s, &r->census[i].states) {
			if (s->done)
				return 0;
			if (s->refused)
				why = strpool_get(r->census[i].pool, s->refused);
		}
		not_stopped = r->census[i].not_stopped;
	}
	if (!why && !not_stopped)
		why = "no state was found";
	return errmsg_set(err, r->o->only_state ? -EINVAL : -EUCLEAN, "no state could be counted: %s%s%s",
			  why ? why : "", why && not_stopped ? "; " : "", not_stopped ? not_stopped : "");
}

int cmd_census(struct options *o)
{
	struct built_report b = { .r.last = true };
	struct run r = { .n = 0 };
	bool findings = false;
	struct errmsg err;
	int rc = 0;

	r.o = o;
	mallopt(M_MMAP_THRESHOLD, OWN_MAPPING); /* else it would grow with what is freed */
	if (!o->pids.n)
		rc = errmsg_set(&err, -EINVAL, "say which process: -p PID; see 'luamemtrace list'");
	if (!rc)
		rc = command_open(o, &r.s, &err);
	if (!rc)
		rc = run_open(&r, &err);
	if (!rc)
		rc = take_all(&r, &err);
	if (!rc && (rc = write_all(&r, &b, &findings)))
		errmsg_set(&err, rc, "the census could not be written: %s", strerror(-rc));
	if (!rc)
		rc = nothing_told(&r, &err);
	run_close(&r);
	build_report_free(&b);
	session_free(r.s);
	if (!command_flush())
		return EXIT_WRITE;
	if (rc)
		return command_fail(rc, &err);
	return o->exit_code && findings ? EXIT_FINDINGS : EXIT_DONE;
}
