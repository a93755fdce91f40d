/* SPDX-License-Identifier: MIT */
/*
 * doctor: writes what was tried and what would be probed. L6 report.
 */
#ifndef LMT_REPORT_DOCTOR_H
#define LMT_REPORT_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "model.h"

enum check_status { CHECK_OK, CHECK_NOTE, CHECK_FAIL };

struct doctor_check {
	const char *name;
	enum check_status status;
	char detail[160];
	const char *remedy; /* what to do; NULL when nothing is wrong */
};

/* r: the processes looked at, with their functions; may be empty. */
void doctor_write_text(const struct doctor_check *checks, size_t n, const struct report *r,
		       bool color, FILE *out);
void doctor_write_json(const struct doctor_check *checks, size_t n, const struct report *r,
		       FILE *out);

#endif
