/* SPDX-License-Identifier: MIT */
/*
 * row: one value of a row of an incident file, as it goes in or comes out. L7 archive.
 */
#ifndef LMT_ARCHIVE_ROW_H
#define LMT_ARCHIVE_ROW_H

#include <stdint.h>

enum cell_type { CELL_NULL, CELL_INT, CELL_REAL, CELL_TEXT };

struct cell {
	enum cell_type type;
	int64_t i;
	double real;
	const char *text; /* borrowed: for the call only */
};

static inline struct cell cell_int(int64_t i)
{
	return (struct cell){ .type = CELL_INT, .i = i };
}

static inline struct cell cell_real(double real)
{
	return (struct cell){ .type = CELL_REAL, .real = real };
}

/* NULL is "unknown". */
static inline struct cell cell_text(const char *text)
{
	return (struct cell){ .type = text ? CELL_TEXT : CELL_NULL, .text = text };
}

#endif
