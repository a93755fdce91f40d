/* SPDX-License-Identifier: MIT */
/*
 * record_census: the census of the traced heaps for a recording: when one is taken, and what came
 * of the latest. L9 record.
 *
 * It is taken by a process of its own: a walk of a large heap takes seconds in which the trace must
 * go on, and a damaged heap must not end the recording. What it found comes back through a file
 * in memory.
 */
#ifndef LMT_RECORD_RECORD_CENSUS_H
#define LMT_RECORD_RECORD_CENSUS_H

#include <stdbool.h>
#include <stdio.h>

#include "report/model.h"

struct session;
struct record_census;

/*
 * *ret is the caller's, to be given to record_census_free(), which also ends one that is under
 * way.
 */
int record_census_new(struct record_census **ret);
void record_census_free(struct record_census *k);

/*
 * Takes in what has come, and starts another one if one is due: the first, when heaps have doubled,
 * for a new finding, and for *why (NULL: for nothing else), which is NULL afterwards if it was
 * started. r: the moment, as it is recorded.
 */
int record_census_look(struct record_census *k, struct session *s, const struct report *r,
		       const char **why);

/* The last one, waited for. */
int record_census_end(struct record_census *k, struct session *s);

/* Adds what is known to a report, which must not outlive k. */
int record_census_show(const struct record_census *k, const struct session *s, struct report *r);

/* The latest has not been shown to be saved yet; then it has. */
bool record_census_is_new(struct record_census *k);

/* record_census_child.c: what the other process does. */
void record_census_take(struct session *s, const char *reason, FILE *out);

/* One row of what comes back: which of them, then its cells. */
enum census_row { CENSUS_ROW_CENSUS, CENSUS_ROW_OBJECT, CENSUS_ROW_HOLDER, CENSUS_ROW_MAX };

#endif
