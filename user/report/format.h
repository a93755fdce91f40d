/* SPDX-License-Identifier: MIT */
/*
 * format: how a report becomes bytes. L6 report. Adding a format: one file and one row in
 * format.c.
 */
#ifndef LMT_REPORT_FORMAT_H
#define LMT_REPORT_FORMAT_H

#include <stdbool.h>
#include <stdio.h>

#include "model.h"

struct format_options {
	bool color;
	bool first; /* nothing was written before: headers are due */
};

struct format {
	const char *name;
	/* Writes one report. Interval reports come one after the other, the last has r->last. */
	void (*write)(const struct report *r, const struct format_options *opt, FILE *out);
};

/* The format of the name, or NULL. */
const struct format *format_find(const char *name);

void text_write(const struct report *r, const struct format_options *opt, FILE *out);
void json_write_header(const struct report *r, FILE *out); /* the first line alone */
void json_write_processes(const struct report *r, FILE *out); /* and their runtimes */
void json_write(const struct report *r, const struct format_options *opt, FILE *out);

#endif
