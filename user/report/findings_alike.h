/* SPDX-License-Identifier: MIT */
/*
 * findings_alike: which findings are the same thing in several states, as a line that leaks is in
 * each worker and each thread with a Lua of its own. People are told it once. L6 report.
 */
#ifndef LMT_REPORT_FINDINGS_ALIKE_H
#define LMT_REPORT_FINDINGS_ALIKE_H

#include "model.h"

struct finding_alike {
	const struct report_finding *f; /* the one that was seen most often */
	size_t first, n;                /* all of them, that one first: where in `members` */
	size_t at;                      /* of the one that the report names first: where there */
	uint64_t count, bytes;          /* of all; bytes 0: not what it counts */
};

/*
 * Of the same kind, at the same line, about the same kind of object, in the order of the worst of
 * each.
 */
struct findings_alike {
	vec_of(struct finding_alike) groups;
	vec_of(const struct report_finding *) members;
};

/* Borrows from the report. 0 or -ENOMEM. */
int findings_alike(const struct report *r, struct findings_alike *ret);
void findings_alike_deinit(struct findings_alike *a);

#endif
