/* SPDX-License-Identifier: MIT */
#include "past.h"

#include <errno.h>
#include <string.h>

void past_deinit(struct past *p)
{
	vec_deinit(&p->processes);
	vec_deinit(&p->runtimes);
}

/* Drops the older half: one pass for many. */
static void drop_half(struct past *p)
{
	size_t gone = p->processes.n / 2;
	uint32_t first = p->processes.v[gone].first_runtime;

	memmove(p->processes.v, p->processes.v + gone,
		(p->processes.n - gone) * sizeof(*p->processes.v));
	p->processes.n -= gone;
	memmove(p->runtimes.v, p->runtimes.v + first,
		(p->runtimes.n - first) * sizeof(*p->runtimes.v));
	p->runtimes.n -= first;
	vec_each(q, &p->processes)
		q->first_runtime -= first;
	p->dropped += gone;
}

static int add_runtime(struct past *p, const struct runtime *rt, struct strpool *strings)
{
	char title[64];
	struct past_runtime out = {
		.id = rt->id,
		.family = rt->family,
		.version = strpool_add(strings, rt->version),
		.variant = rt->variant ? strpool_add(strings, rt->variant) : 0,
		.module = strpool_add(strings, rt->module),
		.build_id = strpool_add(strings, elf_build_id(rt->file->elf)),
		.layout = rt->layout ? strpool_add(strings, rt->layout->id) : 0,
		.evidence = strpool_add(strings, rt->evidence),
	};

	runtime_title(rt, title, sizeof(title));
	out.title = strpool_add(strings, title);
	return vec_push(&p->runtimes, out);
}

int past_add(struct past *p, const struct target *t, const struct resolved *r, bool reported,
	     size_t max, struct strpool *strings)
{
	struct past_process out = {
		.pid = t->pid,
		.comm = strpool_add(strings, t->info.comm),
		.exe = strpool_add(strings, t->info.exe),
		.container = *t->info.container ? strpool_add(strings, t->info.container) : 0,
		.start_realtime_ns = t->info.start_realtime_ns,
		.reported = reported,
	};
	int rc = 0;

	if (max && p->processes.n >= max)
		drop_half(p);
	out.first_runtime = (uint32_t)p->runtimes.n;
	for (size_t i = 0; !rc && i < r->runtimes.n; i++)
		rc = add_runtime(p, &r->runtimes.v[i], strings);
	out.n_runtimes = (uint32_t)p->runtimes.n - out.first_runtime;
	return rc ? rc : vec_push(&p->processes, out);
}

static int report_runtime(const struct past_process *q, const struct past_runtime *rt,
			  const struct strpool *strings, struct report *to)
{
	struct report_runtime out = {
		.pid = q->pid,
		.runtime = rt->id,
		.family = rt->family == LMT_FAMILY_LUAJIT ? "luajit" : "puc",
		.title = strpool_get(strings, rt->title),
		.version = strpool_get(strings, rt->version),
		.variant = rt->variant ? strpool_get(strings, rt->variant) : NULL,
		.module = strpool_get(strings, rt->module),
		.build_id = strpool_get(strings, rt->build_id),
		.layout = rt->layout ? strpool_get(strings, rt->layout) : NULL,
		.evidence = strpool_get(strings, rt->evidence),
	};

	return vec_push(&to->runtimes, out);
}

int past_report(struct past *p, bool only_new, bool mark, const struct strpool *strings,
		struct report *to)
{
	int rc = 0;

	vec_each(q, &p->processes) {
		struct report_process out = {
			.pid = q->pid,
			.comm = strpool_get(strings, q->comm),
			.exe = strpool_get(strings, q->exe),
			.container = strpool_get(strings, q->container),
			.start_realtime_ns = q->start_realtime_ns,
			.ended = true,
		};

		if (only_new && q->reported)
			continue;
		rc = vec_push(&to->processes, out);
		for (uint32_t i = 0; !rc && i < q->n_runtimes; i++)
			rc = report_runtime(q, &p->runtimes.v[q->first_runtime + i], strings, to);
		if (rc)
			break;
		q->reported |= mark;
	}
	return rc;
}
