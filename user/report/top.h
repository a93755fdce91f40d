/* SPDX-License-Identifier: MIT */
/*
 * top: one report as a screen of so many rows and columns, with what changed since the one before.
 * L6 report.
 */
#ifndef LMT_REPORT_TOP_H
#define LMT_REPORT_TOP_H

#include "model.h"

struct top;

/* *ret is the caller's, to be given to top_free(). 0 or -ENOMEM. */
int top_new(struct top **ret);
void top_free(struct top *t);

struct top_screen {
	unsigned int rows, columns;
	bool color;
	const char *note; /* last row: what the keys do */
};

/* Lines end in "\n", but for the last; each fits the columns. 0 or -ENOMEM. */
int top_write(struct top *t, const struct report *r, const struct top_screen *screen, FILE *out);

#endif
