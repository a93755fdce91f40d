/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "census/census.h"
#include "census/label.h"
#include "discover/task.h"
#include "report/format.h"
#include "trace/build_report.h"
#include "trace/session.h"

#define LIST_COPY_MAX (512ull << 20) /* bytes of a process that are copied to count coroutines */
#define LABEL_TRIES 3

struct finder {
	struct options *opt;
	struct files files; /* each library is looked into once, not once a process */
	unsigned int unreadable;
};

/* Notes the processes that map a copy of Lua; those that cannot be looked into are counted. */
static int find_one(pid_t pid, void *ctx)
{
	struct finder *f = ctx;
	struct target *t = NULL;
	int rc;

	if (pid == getpid())
		return 0;
	rc = target_open(pid, &t, NULL);
	if (rc == -EACCES || rc == -EPERM)
		f->unreadable++;
	if (!rc && resolve_has_lua(t, &f->files))
		rc = vec_push(&f->opt->pids, pid);
	target_free(t);
	return rc == -ENOMEM ? rc : 0;
}

static int find_all(struct options *o, struct errmsg *err)
{
	struct finder f = { .opt = o };
	int rc = proc_each(find_one, &f);

	files_deinit(&f.files);
	if (f.unreadable)
		log_warn("%u process%s could not be looked into%s", f.unreadable, f.unreadable == 1 ? "" : "es",
			 geteuid() ? "; run as root to see them" : ", not even by root");
	return rc ? errmsg_set(err, rc, "cannot list the processes") : 0;
}

static void note_state(struct built_report *b, const struct census *c,
		       const struct census_state *cs)
{
	uint64_t L = c->resolved->states.v[cs->index].L;

	vec_each(rs, &b->r.states) {
		if (!cs->done || rs->pid != c->target->pid || rs->L != L)
			continue;
		rs->threads_known = true;
		rs->threads = cs->coroutines;
		if (cs->label)
			rs->label = built_report_keep(b, strpool_get(c->pool, cs->label));
	}
}

/*
 * A table that is being moved while it is read gives another's name, but hardly the same one
 * twice.
 */
static uint32_t read_label(const struct session_target *t, const struct resolved_state *rs,
			   struct strpool *pool)
{
	uint32_t label[2] = { 0 };

	for (int i = 0; i < 2; i++) {
		struct labels labels;

		if (labels_open(t->target, &t->mem, &labels))
			label[i] = labels_of(&labels, rs->layout, rs->L, rs->G, pool);
		labels_close(&labels);
	}
	return label[0] == label[1] ? label[0] : 0;
}

/* Programs that never rest: what a state is for takes a few reads, and no copy that adds up. */
static void label_rest(const struct session_target *t, struct built_report *b)
{
	struct strpool *pool = labels_known(t->target) ? strpool_new() : NULL;

	vec_each(rs, &b->r.states) {
		uint32_t label = 0;

		if (!pool || rs->pid != t->target->pid || rs->label)
			continue;
		vec_each(s, &t->resolved->states)
			for (int i = 0; i < LABEL_TRIES && s->L == rs->L && s->layout && !label;
			     i++)
				label = read_label(t, s, pool);
		if (label)
			rs->label = built_report_keep(b, strpool_get(pool, label));
	}
	strpool_free(pool);
}

/*
 * How many coroutines a state has and what it is for, from a copy of its memory while it runs: no
 * stop. Where no copy made sense, or the process is too large to copy for a list, it is not known.
 */
static void count_threads(struct session *s, struct built_report *b)
{
	const struct census_options opt = { .light = true };

	vec_each(t, &s->targets.all) {
		struct errmsg err;
		struct task_rss rss;
		struct census c;

		census_init(&c, t->target, &t->mem, t->resolved, &opt);
		if (task_read_rss(t->target->pid, &rss) && rss.anon < LIST_COPY_MAX &&
		    !census_take(&c, &err))
			vec_each(cs, &c.states)
				note_state(b, &c, cs);
		census_deinit(&c);
		label_rest(t, b);
	}
}

static int write_list(const struct options *o, struct session *s)
{
	struct format_options fo = {
		.first = true,
		.color = o->color,
	};
	struct built_report b = { .r.last = true };
	int rc = build_report_static(s, false, false, &b);

	if (!rc)
		count_threads(s, &b);
	if (!rc && !s->targets.all.n && !o->json)
		puts("no process runs Lua here");
	else if (!rc)
		format_find(o->json ? "json" : "text")->write(&b.r, &fo, stdout);
	build_report_free(&b);
	return rc;
}

int cmd_list(struct options *o)
{
	struct session *s = NULL;
	struct errmsg err;
	int rc = 0;

	o->skip_missing = !o->pids.n; /* what ends while we look was not asked for by name */
	if (!o->pids.n)
		rc = find_all(o, &err);
	if (!rc)
		rc = command_open(o, &s, &err);
	if (!rc && write_list(o, s))
		rc = errmsg_set(&err, -ENOMEM, "out of memory");
	session_free(s);
	if (rc)
		return command_fail(rc, &err);
	return command_flush() ? EXIT_DONE : EXIT_WRITE;
}
