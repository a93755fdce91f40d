/* SPDX-License-Identifier: MIT */
/* store_db: what store.c and store_prune.c share. L7 archive. */
#ifndef LMT_ARCHIVE_STORE_DB_H
#define LMT_ARCHIVE_STORE_DB_H

#include <sqlite3.h>
#include <sys/types.h>

#include "base/vec.h"
#include "store.h"

struct store_statement {
	const char *table;
	const char *const *columns;
	sqlite3_stmt *stmt;
};

struct store {
	sqlite3 *db;
	char *path;    /* NULL: in memory */
	dev_t dev;     /* of the file as it was made: it may vanish under us */
	ino_t ino;
	struct store_config cfg;
	vec_of(struct store_statement) statements;
	bool in_transaction;
	unsigned int commits; /* with a checkpoint */
	uint64_t next_checkpoint_ns; /* CLOCK_MONOTONIC */
	uint64_t pruned_ns; /* newest moment when the window was last looked at */
	unsigned int stride; /* moments between those of the old summary; doubles */
	int rc;
	struct errmsg err;
};

/* Runs SQL that gives no rows; an error is kept in s->rc. */
int store_run(struct store *s, const char *sql);

/* The first number of a query; 0 when there is none. */
int64_t store_number(struct store *s, const char *sql);

/* Bytes in use in the tables, free pages not counted. */
uint64_t store_used(struct store *s);

/* Drops old details, then resolution, until there is room. */
int store_prune(struct store *s);

#endif
