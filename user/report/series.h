/* SPDX-License-Identifier: MIT */
/*
 * series: values of one metric by their labels, added up where these are the same; a bound on how
 * many a scraper gets. L6 report.
 */
#ifndef LMT_REPORT_SERIES_H
#define LMT_REPORT_SERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/vec.h"

struct series {
	char *labels; /* owned: name="value",… */
	double value;
	bool shown;
};
struct series_list {
	vec_of(struct series) all;
	bool failed; /* out of memory: something is missing */
};

/*
 * Takes labels. shown: false adds to a value that others show, and is nothing
 * by itself: a counter does not fall when one of those it is of has ended. NULL labels: failed.
 */
void series_add(struct series_list *l, char *labels, double value, bool shown);

/* Adds up what has the same labels; by_max: the biggest instead. */
void series_fold(struct series_list *l, bool by_max);

/* A line each; of more than max (0: no limit) the biggest, and other="true" for the rest. */
void series_write(struct series_list *l, const char *name, size_t max, FILE *out);
void series_deinit(struct series_list *l);

#endif
