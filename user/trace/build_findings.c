/* SPDX-License-Identifier: MIT */
/* Findings into the report: those that are new or have grown, in the last report all. */
#include "build_report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "build_stacks.h"
#include "session_find.h"

static struct report_frame frame_of(const struct session *s, const struct frame *f)
{
	struct report_frame out = { 0 };

	if (f->where) {
		out.lua = strpool_get(s->names.strings, f->where);
		out.name = f->name ? strpool_get(s->names.strings, f->name) : NULL;
		out.approx = f->approx;
	}
	return out;
}

static int add_evidence(struct session *s, struct built_report *b, struct report_finding *to,
			const struct evidence *e)
{
	struct report_evidence out = {
		.key = e->key,
		.type = e->type,
		.n = e->n,
		.rate = e->rate,
		.text = e->text ? strpool_get(s->names.strings, e->text) : NULL,
		.frame = frame_of(s, &e->frame),
	};
	int rc = build_one_stack(s, b, e->stack, &out.stack);

	return rc ? rc : vec_push(&to->evidence, out);
}

static int add_finding(struct session *s, struct built_report *b, const struct finding *f)
{
	struct report_finding out = {
		.kind = f->kind,
		.severity = f->severity,
		.confidence = finding_confidence(f),
		.realtime_ns = session_realtime(s, f->time_ns),
		.pid = f->pid,
		.tid = f->tid,
		.state = f->state,
		.message = strpool_get(s->names.strings, f->message),
		.advice = strpool_get(s->names.strings, f->advice),
		.count = f->count,
		.frame = frame_of(s, &f->frame),
	};
	int rc = build_one_stack(s, b, f->stack, &out.stack);

	for (unsigned int i = 0; !rc && i < f->n_evidence; i++)
		rc = add_evidence(s, b, &out, &f->evidence[i]);
	if (!rc)
		rc = vec_push(&b->r.findings, out);
	if (rc)
		vec_deinit(&out.evidence);
	return rc;
}

/* What it makes the process grow by, bytes a second. */
static double cost_of(const struct report_finding *f)
{
	vec_each(e, &f->evidence)
		if (e->type == EVIDENCE_RATE && !strcmp(e->key, "growth_bytes_per_s"))
			return e->rate;
	return 0;
}

static int by_severity(const void *pa, const void *pb)
{
	const struct report_finding *a = pa, *b = pb;

	double x = cost_of(a), y = cost_of(b);

	if (a->severity != b->severity)
		return a->severity > b->severity ? -1 : 1;
	if (x > y || x < y)
		return x > y ? -1 : 1;
	return a->realtime_ns < b->realtime_ns ? -1 : a->realtime_ns > b->realtime_ns;
}

int build_findings(struct session *s, uint64_t now_ns, struct built_report *b)
{
	int rc = 0;

	s->findings_shown = 0;
	vec_each(f, &s->findings.v) {
		if (!session_wants_finding(s, f) || (!b->r.last && now_ns < f->not_before_ns))
			continue;
		s->findings_shown++;
		if (!b->whole && !b->r.last && f->reported && f->count < 2 * f->reported &&
		    f->severity <= f->told)
			continue;
		if (!b->whole) {
			f->reported = f->count;
			f->told = f->severity;
		}
		rc = add_finding(s, b, f);
		if (rc)
			return rc;
	}
	if (b->r.findings.n)
		qsort(b->r.findings.v, b->r.findings.n, sizeof(*b->r.findings.v), by_severity);
	return rc;
}
