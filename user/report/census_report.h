/* SPDX-License-Identifier: MIT */
/*
 * census_report: the census of some processes as text, JSON records and folded stacks. L6 report.
 */
#ifndef LMT_REPORT_CENSUS_REPORT_H
#define LMT_REPORT_CENSUS_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "census/rss_breakdown.h"
#include "census/census.h"
#include "model.h"

/* One process, and the numbers of its states in the report. */
struct census_process {
	const struct census *census;
	struct rss_breakdown rss_breakdown;
	uint32_t first_state; /* number of the first state */
	const char *failed;   /* nothing could be told: why */
};

struct census_report {
	const struct report *r; /* processes, runtimes, states */
	const struct census_process *process;
	size_t n;
	size_t top;
	bool color;
};

bool census_report_complete(const struct census_report *cr);
size_t census_report_findings(const struct census_report *cr);

/* Sentence for a finding, escaped for nothing yet. */
void census_finding_text(const struct census *c, const struct census_finding *f, char *out,
			 size_t size);

/* A path as one line: steps and arrows. */
void census_path_text(const struct census *c, const struct census_path *p, char *out, size_t size);

void census_write_json(const struct census_report *cr, FILE *out);
void census_write_text(const struct census_report *cr, FILE *out);
void census_write_folded(const struct census_report *cr, FILE *out);

#endif
