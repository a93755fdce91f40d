/* SPDX-License-Identifier: MIT */
/*
 * recorder: keeps what a running trace knows in an incident file. L9 record.
 */
#ifndef LMT_RECORD_RECORDER_H
#define LMT_RECORD_RECORDER_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct report;
struct session;
struct snapshot;
struct recorder;

/* Makes the file of the options and *ret; NULL when none was asked for. -EIO, -EEXIST. */
int recorder_open(const struct session *s, struct recorder **ret, struct errmsg *err);
void recorder_free(struct recorder *r);

/*
 * Keeps a moment. report: one of those that INTERVAL asks for. Only -ENOMEM is an error here: that
 * the disk is full does not end the trace.
 */
int recorder_take(struct recorder *r, struct session *s, const struct snapshot *snap, bool report,
		  bool last);

/* The last report follows: looks at the heaps once more. */
int recorder_before_end(struct recorder *r, struct session *s);

/* Adds the latest census to a report, which must be gone before the recorder. r may be NULL. */
int recorder_show_census(const struct recorder *r, const struct session *s, struct report *to);

/* A process ended. status: as wait() says, -1 unknown. */
void recorder_target_ended(struct recorder *r, const struct session *s, pid_t pid, int status);

/* SIGUSR1: write what is in memory now; a mark in the file in any case. */
void recorder_mark(struct recorder *r, const struct session *s);

/* What could not be written, or NULL. */
const struct errmsg *recorder_error(const struct recorder *r);

/* Closes the file. The first failure of the recording, with its text. */
int recorder_close(struct recorder *r, struct errmsg *err);

#endif
