/* SPDX-License-Identifier: MIT */
/*
 * diff: what grew between two reports, of one recording or of two. L6 report. Pure.
 *
 * Between two recordings process ids and numbers of states mean nothing: lines and kinds are
 * matched by program. Within one recording they are told apart.
 */
#ifndef LMT_REPORT_DIFF_H
#define LMT_REPORT_DIFF_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/vec.h"
#include "format.h"
#include "model.h"

enum diff_of { DIFF_SITE, DIFF_KIND, DIFF_OBJECT, DIFF_STATE, DIFF_MAX };

struct diff_figures {
	uint64_t bytes, blocks; /* live; of a state its heap, as the VM counts, if that is known */
};

struct diff_row {
	enum diff_of of;
	const char *comm;
	pid_t pid;            /* 0: not told apart */
	uint32_t state;
	const char *kind;     /* NULL: of all kinds */
	struct report_frame frame;
	const char *origin, *path; /* of objects: what they are, who holds one of them */
	struct diff_figures before, after;
	enum verdict verdict; /* of the later report */
};

struct diff {
	const struct report *a, *b; /* borrowed */
	bool one_run;
	uint64_t min_growth;        /* bytes below which nothing has grown */
	vec_of(struct diff_row) rows[DIFF_MAX]; /* the most grown first */
};

/* a: the earlier. *ret is the caller's, to be given to diff_deinit(). -ENOMEM. */
int diff_build(const struct report *a, const struct report *b, uint64_t min_growth,
	       struct diff *ret);
void diff_deinit(struct diff *d);

static inline int64_t diff_growth(const struct diff_row *r)
{
	return (int64_t)(r->after.bytes - r->before.bytes);
}

/* More than the threshold, and more than a sixteenth of what was there: noise is neither. */
bool diff_grew(const struct diff *d, const struct diff_row *r);

/* Sites that grew; what --exit-code asks. */
size_t diff_count_grown(const struct diff *d);

/* top: rows of each sort; 0: all. */
void diff_write_text(const struct diff *d, size_t top, const struct format_options *opt, FILE *out);
void diff_write_json(const struct diff *d, size_t top, FILE *out);

#endif
