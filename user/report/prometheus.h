/* SPDX-License-Identifier: MIT */
/*
 * prometheus: a report as metrics in Prometheus' text format, version 0.0.4 (prometheus.io,
 * "Exposition formats"). L6 report.
 */
#ifndef LMT_REPORT_PROMETHEUS_H
#define LMT_REPORT_PROMETHEUS_H

#include "model.h"

#define PROMETHEUS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* At most max_sites places, in the report's order: each is a series of its own to the scraper. */
void prometheus_write(const struct report *r, size_t max_sites, FILE *out);

#endif
