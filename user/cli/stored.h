/* SPDX-License-Identifier: MIT */
/*
 * stored: what `report` and `diff` share: FILE.db or FILE.db@TIME → a report. L10 cli.
 */
#ifndef LMT_CLI_STORED_H
#define LMT_CLI_STORED_H

#include <stdbool.h>

#include "archive/archive.h"

/*
 * TIME: RFC 3339 as in the report, or seconds after the start ("90", "1.5") or,
 * negative, before the end. A time before the first moment is that moment. *ret is the caller's,
 * to be given to loaded_report_free().
 */
int stored_load(const char *word, bool series, struct loaded_report *ret, struct errmsg *err);

/* Leaves only what belongs to that state; 0: everything. -ENOMEM. */
int stored_keep_state(struct report *r, uint32_t state, struct errmsg *err);

/* FILE.db of FILE.db@TIME; the caller's to free. */
char *stored_path(const char *word);

/* For struct page_source: a public view of such a file. */
bool stored_describe(const char *view, const char **about_ret, const char **sql_ret);

#endif
