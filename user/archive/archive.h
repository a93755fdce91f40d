/* SPDX-License-Identifier: MIT */
/*
 * archive: reports ↔ rows of an incident file. L7 archive. Must not know SQLite.
 *
 * The stored form follows the model: one table of fields for each struct (archive_fields.c) serves
 * saving and loading. What changes over time is saved when it has changed.
 */
#ifndef LMT_ARCHIVE_ARCHIVE_H
#define LMT_ARCHIVE_ARCHIVE_H

#include "base/err.h"
#include "base/strpool.h"
#include "replay.h"
#include "report/model.h"
#include "store.h"

struct archive;

/* *ret is the caller's, to be given to archive_free(); the store must outlive it. */
int archive_new(struct store *store, struct archive **ret);
void archive_free(struct archive *a);

/* Something about the recording as a whole: tool, host, command. */
int archive_put_meta(struct archive *a, const char *key, const char *value);

/* One mapping of a process. */
int archive_put_map(struct archive *a, pid_t pid, uint64_t start, uint64_t end, uint64_t offset,
		    const char *path, bool deleted);

/* Something that happened. text may be NULL. */
int archive_put_event(struct archive *a, uint64_t realtime_ns, const char *kind, pid_t pid,
		      uint32_t state, const char *text);

/* Saves a moment and commits. The report must be whole: all states, all sites. */
int archive_save(struct archive *a, const struct report *r);

/* A moment of a file, with the strings it needs. */
struct loaded_report {
	struct report r;
	struct strpool *strings;
};

#define ARCHIVE_LAST UINT64_MAX

/*
 * Loads the newest moment not after at_ns (CLOCK_REALTIME; ARCHIVE_LAST: the last). With `series`
 * the figures of all moments before it too. *ret: the caller's, to be given to
 * loaded_report_free(). -EBADMSG with the text.
 */
int archive_load(struct replay *from, uint64_t at_ns, bool series, struct loaded_report *ret,
		 struct errmsg *err);

/* Only what concerns the recording as a whole, as its start. */
int archive_load_head(struct replay *from, struct loaded_report *ret, struct errmsg *err);

void loaded_report_free(struct loaded_report *l);

#endif
