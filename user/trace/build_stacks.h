/* SPDX-License-Identifier: MIT */
/*
 * build_stacks: the stacks of a run → a report. L8 trace, for build_report.c.
 */
#ifndef LMT_TRACE_BUILD_STACKS_H
#define LMT_TRACE_BUILD_STACKS_H

#include "build_report.h"

/* Every frame there is, by its index in the stackdb. -ENOMEM. */
int build_frames(const struct session *s, struct built_report *b);

/* The stacks that lead to a site (its position in the heap), with its numbers divided. -ENOMEM. */
int build_site_stacks(const struct session *s, struct built_report *b, size_t site,
		      struct report_site *out);

/* One stack by its id, to be drawn as it is; out->n is 0 when there is none. -ENOMEM. */
int build_one_stack(const struct session *s, struct built_report *b, uint32_t stack,
		    struct report_stack *out);

#endif
