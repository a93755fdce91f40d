/* SPDX-License-Identifier: MIT */
/*
 * sort: which sites come first. L6 report.
 */
#ifndef LMT_REPORT_SORT_H
#define LMT_REPORT_SORT_H

#include "model.h"

enum sort_key { SORT_VERDICT, SORT_SIZE, SORT_COUNT, SORT_AGE, SORT_RATE };

/* The same sites give the same order, whatever order they came in. */
void report_sort_sites(struct report *r, enum sort_key key);

#endif
