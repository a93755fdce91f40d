/* SPDX-License-Identifier: MIT */
/*
 * prometheus: a report as metrics in Prometheus' text format, version 0.0.4 (prometheus.io,
 * "Exposition formats"). L6 report.
 */
#ifndef LMT_REPORT_PROMETHEUS_H
#define LMT_REPORT_PROMETHEUS_H

#include "model.h"

#define PROMETHEUS_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct prometheus_options {
	size_t max_sites;  /* lines that are series of their own; the rest is summed. 0: no limit */
	size_t max_series; /* the same for each other metric */
	bool pid;          /* by process and state, not by the program's name */
};

/*
 * Processes that ended are in no gauge; counters of a program keep what they counted, for a counter
 * that falls is a restart to the scraper. Where allocator calls are seen now and then only, what
 * would count them is left out. 0 or -ENOMEM.
 */
int prometheus_write(const struct report *r, const struct prometheus_options *o, FILE *out);

#endif
