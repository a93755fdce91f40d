/* SPDX-License-Identifier: MIT */
/*
 * replay: reads an incident file, which is hostile input. L7 archive. Must not know what rows mean.
 *
 * Only tables whose text is one of ours are read; views, triggers and whatever else somebody put
 * into the file are never run. Nothing is written. Queries end after a bounded time.
 */
#ifndef LMT_ARCHIVE_REPLAY_H
#define LMT_ARCHIVE_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "row.h"

struct replay;

/*
 * *ret is the caller's, to be given to replay_free(). -ENOENT no such file, -EACCES, -EBADMSG it is
 * no incident file, or damaged, or of a newer version than this program.
 */
int replay_open(const char *path, struct replay **ret, struct errmsg *err);
void replay_free(struct replay *r);

const char *replay_path(const struct replay *r);

/*
 * Has it no -wal beside it? That holds what was written last while its writer lives, or was killed.
 */
bool replay_lacks_log(const struct replay *r);

/* Has the file this table or, with a column, this column? Older files have fewer. */
bool replay_has(const struct replay *r, const char *table, const char *column);

/*
 * Calls fn for each row until it returns non-zero; that value, 0, or -EBADMSG with the text.
 * Texts are valid until fn returns; they may hold any bytes. args: integers for ?1, ?2, …
 */
int replay_query(struct replay *r, const char *sql, const int64_t *args, size_t n_args,
		 int (*fn)(const struct cell *cells, size_t n, void *ctx), void *ctx,
		 struct errmsg *err);

#endif
