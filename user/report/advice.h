/* SPDX-License-Identifier: MIT */
/*
 * advice: what would tell more than this report does, or that there is nothing to tell. L6 report.
 * Pure.
 */
#ifndef LMT_REPORT_ADVICE_H
#define LMT_REPORT_ADVICE_H

#include <stdbool.h>
#include <stddef.h>

#include "model.h"

/* The i-th piece of advice, one line; false: there are no more. A row that does not apply is "". */
bool advice_text(const struct report *r, size_t i, char *buf, size_t size);

/* Watched for long enough to say so: nothing is wrong, nothing grows. */
bool advice_calm(const struct report *r);

#endif
