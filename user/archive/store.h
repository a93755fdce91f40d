/* SPDX-License-Identifier: MIT */
/*
 * store: writes an incident file: rows into tables of the schema, committed in batches. L7 archive.
 * Must not know what the rows mean.
 *
 * Whatever happens to this process, every commit stays; whatever happens to the disk, what was
 * committed before stays readable. After a failure every call gives the same error: the caller
 * need not look at each. One writer, one thread.
 */
#ifndef LMT_ARCHIVE_STORE_H
#define LMT_ARCHIVE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "row.h"

struct store;

struct store_config {
	const char *path;   /* NULL: in memory, for what may be wanted later */
	bool force;         /* overwrite a file that is there */
	uint64_t max_bytes; /* of the file and its log; 0: no limit */
	uint64_t window_ns; /* in memory: how long details are kept; 0: as long as they fit */
};

/*
 * *ret is the caller's, to be given to store_free(). -EEXIST the file is there, -EIO it cannot be
 * written. A file that could not be set up is removed again.
 */
int store_create(const struct store_config *cfg, struct store **ret, struct errmsg *err);

/* Closes in haste: what was not committed is lost. NULL is allowed. */
void store_free(struct store *s);

/* A row, in place of one with the same key. table and columns must be constants. */
int store_put(struct store *s, const char *table, const char *const *columns,
	      const struct cell *cells, size_t n);

/*
 * Makes all rows since the last commit last. Then, near the size limit, the oldest details go; the
 * summary only loses resolution.
 */
int store_commit(struct store *s);

/* Drops the rows since the last commit. */
void store_roll_back(struct store *s);

/* What went wrong first; NULL when nothing did. */
const struct errmsg *store_error(const struct store *s);

/* Sites, states and stacks that may be kept apart without passing the size limit. */
size_t store_room(const struct store *s);

/* Moves what is in memory into a file, which is written from now on. */
int store_to_file(struct store *s, const struct store_config *cfg, struct errmsg *err);

/* Commits, leaves one file without a log beside it. */
int store_finish(struct store *s);

/* Bytes of the file and its log. */
uint64_t store_bytes(const struct store *s);

#endif
