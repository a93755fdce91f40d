/* SPDX-License-Identifier: MIT */
/*
 * build_report: what the stages know → a report. L8 trace, since it looks at all of them.
 */
#ifndef LMT_TRACE_BUILD_REPORT_H
#define LMT_TRACE_BUILD_REPORT_H

#include <stdbool.h>

#include "report/model.h"
#include "report/sort.h"
#include "session.h"

/* Memory behind a report's strings; freed with build_report_free(). */
struct built_report {
	struct report r;
	bool whole; /* to be kept: closed states too, though they were shown before */
	vec_of(char *) strings;
};

/* When, where and how it was started. Strings are borrowed from the session. */
void build_report_header(const struct session *s, struct report *r);

/* Processes, runtimes and states of the opened targets; for list and doctor too. -ENOMEM. */
int build_report_static(struct session *s, bool with_functions, bool only_new,
			struct built_report *b);

/* Adds what a running trace knows: counters, sites, losses. */
int build_report_live(struct session *s, const struct snapshot *snap, struct built_report *b);

/* A copy of the text that lives as long as the report. */
const char *built_report_keep(struct built_report *b, const char *text);

void build_report_free(struct built_report *b);

/* build_findings.c: part of build_report_live(). 0 or -ENOMEM. */
int build_findings(struct session *s, uint64_t now_ns, struct built_report *b);

#endif
