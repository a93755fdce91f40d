/* SPDX-License-Identifier: MIT */
/* Whole stacks: lists of frames, each frame saved once. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "archive_db.h"
#include "base/cleanup.h"

int64_t archive_frame_id(struct archive *a, const struct report_frame *f)
{
	auto_free char *key = NULL;
	uint64_t *id;

	if (asprintf(&key, "%d%d%d%d%d %" PRIu64 " %" PRIu32 " %s\n%s\n%s\n%s", f->approx, f->tail, f->jit,
		     f->thread, f->truncated, f->offset, f->line_defined, f->lua ? f->lua : "",
		     f->name ? f->name : "", f->native ? f->native : "",
		     f->module ? f->module : "") < 0)
		return -ENOMEM;
	id = hashmap_get_or_add(&a->frames, strpool_add(a->strings, key));
	if (!id)
		return -ENOMEM;
	if (!*id || a->rewrite) {
		if (!*id)
			*id = a->frames.n;
		archive_put_row(a, &part_frame, (struct cell[]){ cell_int((int64_t)*id) }, f);
	}
	return (int64_t)*id;
}

/* Ids of all frames of the report, by position; NULL when out of memory. */
int64_t *archive_frame_ids(struct archive *a, const struct report *r)
{
	int64_t *ids = calloc(r->frames.n + 1, sizeof(*ids));

	for (size_t i = 0; ids && i < r->frames.n; i++) {
		ids[i] = archive_frame_id(a, &r->frames.v[i]);
		if (ids[i] < 0) {
			free(ids);
			return NULL;
		}
	}
	return ids;
}

static char *list_of_frames(const struct report *r, const struct report_stack *s,
			    const int64_t *ids)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (uint32_t i = 0; f && i < s->n; i++)
		fprintf(f, "%s%" PRId64, i ? " " : "", ids[r->stack_frames.v[s->first + i]]);
	if (f)
		fclose(f);
	return text;
}

int archive_save_stacks(struct archive *a, const struct report *r, const struct report_site *s,
			long site, const int64_t *ids)
{
	int rc = 0;

	for (uint32_t i = 0; !rc && i < s->n_stacks; i++) {
		const struct report_stack *st = &r->stacks.v[s->first_stack + i];
		auto_free char *frames = list_of_frames(r, st, ids), *key = NULL;
		struct stored_stack row = { (uint64_t)site + 1, frames, i, *st };

		if (!frames || asprintf(&key, "stack %ld %s", site, frames) < 0)
			return -ENOMEM;
		rc = archive_track(a, &a->stacks, key, &row, NULL);
	}
	return rc;
}
