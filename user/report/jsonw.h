/* SPDX-License-Identifier: MIT */
/*
 * jsonw: writes JSON as it goes, one object a line. L6 report. Must not know what it writes.
 *
 * Keys are our own constants; every string value is escaped. A key of NULL: an array's element.
 */
#ifndef LMT_REPORT_JSONW_H
#define LMT_REPORT_JSONW_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct jsonw {
	FILE *out;
	bool comma; /* a value stands before, on this level */
};

void jsonw_begin(struct jsonw *w, FILE *out); /* opens the line's object */
void jsonw_end(struct jsonw *w);              /* closes it and the line */

void jsonw_object(struct jsonw *w, const char *key);
void jsonw_array(struct jsonw *w, const char *key);
void jsonw_close(struct jsonw *w, char bracket); /* '}' or ']' */

void jsonw_str(struct jsonw *w, const char *key, const char *value);
void jsonw_u64(struct jsonw *w, const char *key, uint64_t value);
void jsonw_i64(struct jsonw *w, const char *key, int64_t value);
void jsonw_bool(struct jsonw *w, const char *key, bool value);
void jsonw_double(struct jsonw *w, const char *key, double value); /* three decimals */
void jsonw_addr(struct jsonw *w, const char *key, uint64_t uaddr); /* "0x…" */

/* The same, left out when unknown: an empty string, a zero. */
void jsonw_str_known(struct jsonw *w, const char *key, const char *value);

#endif
