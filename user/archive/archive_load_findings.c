/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive_load.h"
#include "base/cleanup.h"

/* The ids of frames in a column, the innermost Lua frame first. */
static bool set_frame(const struct loader *l, const struct cell *c, struct report_frame *f)
{
	const uint64_t *at;

	if (c->type == CELL_NULL)
		return true;
	at = c->type == CELL_TEXT && atoll(c->text) > 0 ?
		hashmap_lookup(&l->frame_by_id, (uint64_t)atoll(c->text)) : NULL;
	if (at)
		*f = l->to->r.frames.v[*at - 1];
	return at != NULL;
}

/* All of them, as archive_findings.c writes them; one alone is no stack. */
static int set_stack(struct loader *l, const char *text, struct report_stack *s)
{
	const char *via = strstr(text, " v ");
	auto_free char *below = via ? strndup(text, (size_t)(via - text)) : NULL;
	int rc;

	if (!strchr(text, ' '))
		return 0;
	if (!via)
		return load_frames(l, text, s);
	rc = below ? load_frames(l, via + 3, s) : load_out_of_memory(l);
	return rc ? rc : load_more_frames(l, below, s);
}

/* id, snapshot, frames, fields */
static int take_finding(const struct cell *c, size_t n, void *ctx)
{
	struct loader *l = ctx;
	struct report_finding f = { 0 };
	uint64_t *at;
	int rc;

	(void)n;
	if (c[0].type != CELL_INT || c[0].i <= 0 || !set_frame(l, &c[2], &f.frame) ||
	    !part_set(&part_finding, &f, c + 3, l->to->strings))
		return load_bad_value(l, "finding");
	rc = c[2].type == CELL_TEXT ? set_stack(l, c[2].text, &f.stack) : 0;
	if (rc)
		return rc;
	if (f.stack.n && !f.frame.lua)
		f.frame = (struct report_frame){ 0 };
	at = hashmap_get_or_add(&l->finding_by_id, (uint64_t)c[0].i);
	if (!at || l->to->r.findings.n >= MAX_ROWS || vec_push(&l->to->r.findings, f))
		return load_out_of_memory(l);
	*at = l->to->r.findings.n;
	return 0;
}

/* Keys become JSON keys as they are. */
static bool is_word(const char *s)
{
	return *s && s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
}

/* finding, seq, frames, fields */
static int take_evidence(const struct cell *c, size_t n, void *ctx)
{
	struct loader *l = ctx;
	struct report_evidence e = { 0 };
	const uint64_t *at = c[0].i ? hashmap_lookup(&l->finding_by_id, (uint64_t)c[0].i) : NULL;
	int rc;

	(void)n;
	if (!at)
		return 0;
	if (!set_frame(l, &c[2], &e.frame) ||
	    !part_set(&part_evidence, &e, c + 3, l->to->strings) || !is_word(e.key))
		return load_bad_value(l, "evidence");
	rc = c[2].type == CELL_TEXT ? set_stack(l, c[2].text, &e.stack) : 0;
	if (rc)
		return rc;
	if (e.stack.n && !e.frame.lua)
		e.frame = (struct report_frame){ 0 };
	return vec_push(&l->to->r.findings.v[*at - 1].evidence, e) ? load_out_of_memory(l) : 0;
}

static int by_severity(const void *pa, const void *pb)
{
	const struct report_finding *a = pa, *b = pb;

	if (a->severity != b->severity)
		return a->severity > b->severity ? -1 : 1;
	return a->realtime_ns < b->realtime_ns ? -1 : a->realtime_ns > b->realtime_ns;
}

int load_findings(struct loader *l)
{
	struct report *r = &l->to->r;
	char tail[256];
	int rc;

	/* What came up later, or was taken back by then, was not known at that moment. */
	snprintf(tail, sizeof(tail), "WHERE time_ns <= %" PRIu64 " AND id NOT IN (SELECT finding FROM"
		 " withdrawn w WHERE w.snapshot > t.snapshot AND w.snapshot <= ?1) ORDER BY id",
		 r->end_realtime_ns);
	rc = load_query(l, load_select(l, &part_finding, tail), take_finding);
	rc = rc ? rc : load_query(l, load_select(l, &part_evidence, "ORDER BY finding, seq"), take_evidence);
	if (!rc && r->findings.n)
		qsort(r->findings.v, r->findings.n, sizeof(*r->findings.v), by_severity);
	return rc;
}
