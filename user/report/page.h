/* SPDX-License-Identifier: MIT */
/*
 * page: an incident as one HTML file, to be attached to a ticket: nothing is loaded from anywhere,
 * only its own script and style run, every word of the target is text. L6 report.
 */
#ifndef LMT_REPORT_PAGE_H
#define LMT_REPORT_PAGE_H

#include <stdbool.h>
#include <stdio.h>

#include "flame.h"
#include "model.h"

/* Where the report comes from: its reader can ask the file the same questions. */
struct page_source {
	const char *file; /* NULL: there is none, and no SQL is shown */
	/*
	 * What a public view of the file is about, in a line, and its SELECT; false: no such view.
	 */
	bool (*describe)(const char *view, const char **about_ret, const char **sql_ret);
};

/* nonce: a random word that lets its own script and style run. */
void page_write(const struct report *r, const struct flame *f, const struct page_source *from,
		const char *nonce, FILE *out);

/* page_data.c: what the charts draw, as JSON in a script element. */
void page_put_data(const struct report *r, FILE *out);

void page_put_findings(const struct report *r, const struct page_source *from, FILE *out);

/* page_tables.c: sections below the charts. */
void page_put_lines(const struct report *r, const struct page_source *from, FILE *out);
void page_put_types(const struct report *r, const struct page_source *from, FILE *out);
void page_put_states(const struct report *r, const struct page_source *from, FILE *out);
void page_put_runtimes(const struct report *r, const struct page_source *from, FILE *out);

/* page_heaps.c */
void page_put_heaps(const struct report *r, const struct page_source *from, FILE *out);
/* What most of the state's heap hangs on, in a paragraph; nothing when that is not known. */
void page_put_held(const struct report *r, pid_t pid, uint32_t state, FILE *out);

/* A table that can be sorted; heads: up to a NULL, "n:live" for a column of numbers. */
void page_open_table(const char *const *heads, FILE *out);
/* all, shown: rows there were, and the most that are shown. */
void page_close_table(size_t all, size_t shown, const char *what, FILE *out);

/* Opens a section with its heading; the SQL behind it closes it. views: up to a NULL. */
void page_open(const char *id, const char *title, FILE *out);
void page_close(const struct page_source *from, const char *const *views, FILE *out);

/* "app.lua:12 in handler" */
void page_put_frame(const struct report_frame *f, FILE *out);

#endif
