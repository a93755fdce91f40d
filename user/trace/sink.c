/* SPDX-License-Identifier: MIT */
#include "sink.h"

#include <errno.h>

#include "build_report.h"
#include "session.h"

#define each_sink(k, s)                                                                     \
	for (struct trace_sink *const *k##_at = (s)->sinks, *k;                             \
	     k##_at < (s)->sinks + (s)->n_sinks && (k = *k##_at); k##_at++)

int session_add_sink(struct session *s, struct trace_sink *take)
{
	if (s->n_sinks == SESSION_SINKS) {
		take->ops->free(take);
		return -E2BIG;
	}
	s->sinks[s->n_sinks++] = take;
	return 0;
}

void session_write_failed(struct session *s, int why)
{
	if (!s->write_errno)
		s->write_errno = why ? why : EIO;
}

int sinks_open(struct session *s, struct errmsg *err)
{
	int rc = 0;

	each_sink(k, s)
		if (!rc && k->ops->open)
			rc = k->ops->open(k, s, err);
	return rc;
}

int sinks_start(struct session *s, struct errmsg *err)
{
	int rc = 0;

	each_sink(k, s)
		if (!rc && k->ops->start)
			rc = k->ops->start(k, s, err);
	return rc;
}

static int give_look(struct session *s, const struct trace_look *l)
{
	int rc = 0;

	each_sink(k, s)
		if (!rc && k->ops->on_look && k->takes_reports == (l->r != NULL))
			rc = k->ops->on_look(k, s, l);
	return rc;
}

/* One report for all of them. */
static int give_report(struct session *s, struct trace_look *l)
{
	struct built_report b = { .r.last = l->last,
				  .r.end_reason = l->last ? session_end_reason(s) : NULL };
	bool wanted = false, only_new = false;
	int rc;

	each_sink(k, s) {
		wanted |= k->takes_reports;
		b.whole |= k->whole;
		only_new |= k->only_new;
	}
	if (!wanted)
		return 0;
	rc = build_report_static(s, true, only_new, &b);
	if (!rc)
		rc = build_report_live(s, l->snap, &b);
	l->r = &b.r;
	if (!rc)
		rc = give_look(s, l);
	build_report_free(&b);
	return rc;
}

int sinks_look(struct session *s, const struct snapshot *snap, bool report, bool last)
{
	struct trace_look l = { .snap = snap, .report = report, .last = last };
	int rc = give_look(s, &l);

	if (rc || !report)
		return rc;
	rc = give_report(s, &l);
	s->reports++;
	return rc;
}

void sinks_on_ready(struct session *s, unsigned int i)
{
	struct trace_sink *k = s->sinks[i];

	k->ops->on_ready(k, s);
}

void sinks_tick(struct session *s)
{
	each_sink(k, s)
		if (k->ticks)
			k->ops->on_ready(k, s);
}

void sinks_on_call(struct session *s, const struct report_call *c)
{
	each_sink(k, s)
		if (k->ops->on_call)
			k->ops->on_call(k, s, c);
}

void sinks_on_drained(struct session *s)
{
	each_sink(k, s)
		if (k->ops->on_drained)
			k->ops->on_drained(k, s);
}

void sinks_on_target_end(struct session *s, pid_t pid, int status)
{
	each_sink(k, s)
		if (k->ops->on_target_end)
			k->ops->on_target_end(k, s, pid, status);
}

void sinks_on_signal(struct session *s)
{
	each_sink(k, s)
		if (k->ops->on_signal)
			k->ops->on_signal(k, s);
}

bool sinks_want_signal(const struct session *s)
{
	each_sink(k, s)
		if (k->ops->on_signal)
			return true;
	return false;
}

int sinks_before_end(struct session *s, bool broke_off)
{
	int rc = 0;

	each_sink(k, s) {
		int one = k->ops->before_end ? k->ops->before_end(k, s, broke_off) : 0;

		rc = rc ? rc : one;
	}
	return rc;
}

int sinks_add_to_last(const struct session *s, struct report *r)
{
	int rc = 0;

	each_sink(k, s)
		if (!rc && k->ops->add_to_last)
			rc = k->ops->add_to_last(k, s, r);
	return rc;
}

bool sinks_record(const struct session *s)
{
	each_sink(k, s)
		if (k->records)
			return true;
	return false;
}

bool sinks_gave_up(const struct session *s)
{
	each_sink(k, s)
		if (k->sole && k->ops->error(k))
			return true;
	return false;
}

uint64_t sinks_capabilities(const struct session *s)
{
	uint64_t all = 0;

	each_sink(k, s)
		all |= k->capabilities;
	return all;
}

int sinks_close(struct session *s, struct errmsg *err)
{
	int rc = 0;

	each_sink(k, s)
		if (!rc && k->ops->close)
			rc = k->ops->close(k, err);
	return rc;
}

void sinks_free(struct session *s)
{
	each_sink(k, s)
		k->ops->free(k);
	s->n_sinks = 0;
}
