/* SPDX-License-Identifier: MIT */
/*
 * schema: the tables and public views of an incident file. L7 archive.
 *
 * The views are an interface to users of SQL (docs/SCHEMA.md): they only ever grow. The tables are
 * ours. A change of a table is a new version: append its new text with the version that brought
 * it, keep the old one, so that files of every version can be told from forged ones.
 */
#ifndef LMT_ARCHIVE_SCHEMA_H
#define LMT_ARCHIVE_SCHEMA_H

#include <stddef.h>

#define LMT_STORE_APPLICATION_ID 0x4c4d5431 /* "LMT1": `file` and SQLite see whose file it is */
#define LMT_STORE_VERSION 4                 /* PRAGMA user_version */

struct schema_table {
	const char *name;
	int since, until; /* versions whose files have this text; until 0: the newest too */
	const char *sql;  /* character for character what sqlite_schema holds */
};

struct schema_view {
	const char *name;
	const char *about; /* a line for the page and the documents */
	const char *sql;   /* the SELECT */
};

const struct schema_table *schema_tables(size_t *n_ret);
const struct schema_view *schema_views(size_t *n_ret);

/* The table as files of that version have it, or NULL. */
const struct schema_table *schema_find(const char *name, int version);

/* The view, or NULL. */
const struct schema_view *schema_find_view(const char *name);

#endif
