/* SPDX-License-Identifier: MIT */
/* Findings: few, each with evidence that may change while it grows. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive_db.h"
#include "base/cleanup.h"

#define MAX_FINDINGS 10000 /* one kind of mistake, made a million times, is shown by its first */

static const char *const withdrawn_columns[] = { "finding", "snapshot" };

/*
 * "3 17 4 v 9 8": ids of the frames from the innermost Lua frame outwards, then those of the C
 * functions above it, innermost first. Of a stack that is not known the leaf alone, NULL without
 * one. The caller's.
 */
static char *frames_of(struct archive *a, const struct report *r, const struct report_stack *st,
		       const struct report_frame *leaf)
{
	uint32_t above = report_frames_above(r, st);
	int64_t alone = !st->n && leaf->lua ? archive_frame_id(a, leaf) : 0;
	char *text = NULL;
	size_t size;
	FILE *f = st->n || alone > 0 ? open_memstream(&text, &size) : NULL;

	if (f && alone > 0)
		fprintf(f, "%" PRId64, alone);
	for (uint32_t i = above; f && i < st->n; i++)
		fprintf(f, "%s%" PRId64, i > above ? " " : "", archive_frame_id(a, report_frame_at(r, st, i)));
	for (uint32_t i = 0; f && i < above; i++)
		fprintf(f, "%s%" PRId64, i ? " " : " v ", archive_frame_id(a, report_frame_at(r, st, i)));
	if (f)
		fclose(f);
	return text;
}

static uint64_t hash_more(uint64_t h, const void *bytes, size_t n)
{
	for (const unsigned char *p = bytes; n--; p++)
		h = (h ^ *p) * 0x100000001b3ull;
	return h;
}

static uint64_t hash_part(uint64_t h, const struct part *p, const void *obj)
{
	struct cell cells[PART_COLUMNS];

	part_get(p, obj, cells);
	for (size_t i = 0; i < p->n; i++) {
		h = hash_more(h, &cells[i].i, sizeof(cells[i].i));
		h = hash_more(h, &cells[i].real, sizeof(cells[i].real));
		if (cells[i].type == CELL_TEXT)
			h = hash_more(h, cells[i].text, strlen(cells[i].text));
	}
	return h;
}

static uint64_t hash_stack(uint64_t h, const struct report *r, const struct report_stack *st)
{
	return st->n ? hash_more(h, &r->stack_frames.v[st->first], st->n * sizeof(uint32_t)) : h;
}

static uint64_t content_of(const struct report *r, const struct report_finding *f)
{
	uint64_t h = hash_stack(hash_part(0xcbf29ce484222325ull, &part_finding, f), r, &f->stack);

	vec_each(e, &f->evidence)
		h = hash_stack(hash_part(hash_part(h, &part_evidence, e), &part_frame, &e->frame),
			       r, &e->stack);
	return h;
}

static int put_finding(struct archive *a, const struct report *r, int64_t id,
		       const struct report_finding *f)
{
	auto_free char *frames = frames_of(a, r, &f->stack, &f->frame);
	struct cell keys[] = { cell_int(id), cell_int(a->moment), cell_text(frames) };
	int rc = archive_put_row(a, &part_finding, keys, f);
	int64_t seq = 0;

	for (size_t i = 0; !rc && i < f->evidence.n; i++) {
		const struct report_evidence *e = &f->evidence.v[i];
		auto_free char *of_it = frames_of(a, r, &e->stack, &e->frame);

		keys[1] = cell_int(++seq);
		keys[2] = cell_text(of_it);
		rc = archive_put_row(a, &part_evidence, keys, e);
	}
	return rc;
}

/*
 * What a finding is does not change; what it says may. Several of one line can come up at once, for
 * different objects: words among the evidence tell them apart, figures grow.
 */
static char *identity_of(const struct report_finding *f)
{
	char *key = NULL;
	size_t size;
	FILE *out = open_memstream(&key, &size);

	if (!out)
		return NULL;
	fprintf(out, "finding %s %d %d %" PRIu32 " %" PRIu64 " %s", finding_kind_name(f->kind), f->pid,
		f->tid, f->state, f->realtime_ns, f->frame.lua ? f->frame.lua : "");
	vec_each(e, &f->evidence)
		if (e->type == EVIDENCE_TEXT && e->text)
			fprintf(out, "\n%s %s", e->key, e->text);
	fclose(out);
	return key;
}

/* Position of the finding, a new one if need be. */
static long find_finding(struct archive *a, const struct report_finding *f)
{
	auto_free char *key = identity_of(f);
	uint64_t *at;

	if (!key)
		return -ENOMEM;
	at = hashmap_get_or_add(&a->findings, strpool_add(a->strings, key));
	if (!at)
		return -ENOMEM;
	if (*at)
		return (long)*at - 1;
	if (a->saved_findings.n >= MAX_FINDINGS)
		return -ENOSPC;
	if (vec_push(&a->saved_findings, (struct saved_finding){ 0 }))
		return -ENOMEM;
	*at = a->saved_findings.n;
	return (long)*at - 1;
}

static int save_finding(struct archive *a, const struct report *r, const struct report_finding *f)
{
	long i = find_finding(a, f);
	uint64_t content = content_of(r, f);
	struct saved_finding *s;

	if (i < 0)
		return i == -ENOSPC ? 0 : (int)i;
	s = &a->saved_findings.v[i];
	s->seen = a->moment;
	if (s->content == content && !s->withdrawn && !a->rewrite)
		return 0;
	s->content = content;
	s->withdrawn = false;
	return put_finding(a, r, i + 1, f);
}

int archive_save_findings(struct archive *a, const struct report *r)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < r->findings.n; i++)
		rc = save_finding(a, r, &r->findings.v[i]);
	for (size_t i = 0; !rc && i < a->saved_findings.n; i++) {
		struct saved_finding *s = &a->saved_findings.v[i];

		if (s->seen == a->moment || s->withdrawn)
			continue;
		s->withdrawn = true;
		rc = store_put(a->store, "withdrawn", withdrawn_columns,
			       (struct cell[]){ cell_int((int64_t)i + 1), cell_int(a->moment) }, 2);
	}
	return rc;
}
