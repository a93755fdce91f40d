/* SPDX-License-Identifier: MIT */
/*
 * memory: the first lines: how large a process is, where its memory is, what of it grows, and when
 * that ends. L6 report.
 */
#ifndef LMT_REPORT_MEMORY_H
#define LMT_REPORT_MEMORY_H

#include <stdio.h>

#include "jsonw.h"
#include "model.h"

/* Two or three lines for people; nothing where nothing is known. */
void memory_write_text(const struct report_memory *m, const char *bold, const char *reset,
		       FILE *out);

/* Members of a process' record. */
void memory_write_json(const struct report_memory *m, struct jsonw *w);

/* When the limit is reached at the present rate, seconds; 0: not in sight. */
double memory_limit_in_s(const struct report_memory *m);

#endif
