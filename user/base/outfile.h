/* SPDX-License-Identifier: MIT */
/*
 * outfile: a file that is written for a user, by root, in folders that others may write to as well.
 * L0 base.
 *
 * It is written beside its place, under a name that nobody can have taken, readable for its owner
 * only, and put there when it is whole: no link is followed, and what was there stays until then.
 */
#ifndef LMT_BASE_OUTFILE_H
#define LMT_BASE_OUTFILE_H

#include <stdbool.h>
#include <stdio.h>

#include "err.h"

struct outfile {
	FILE *f;    /* NULL: not open */
	char *path; /* where it is to be; NULL for standard output */
	char *temp; /* where it is being written */
};

/* Does the path mean standard output: "-", "/dev/stdout"? */
bool outfile_is_stdout(const char *path);

/* What is there already must be a regular file. 0, or -EIO with the reason. */
int outfile_open(struct outfile *o, const char *path, struct errmsg *err);

/* Puts it in its place; closed then. 0, or -EIO with errno set, also of an earlier write. */
int outfile_commit(struct outfile *o);

/* What was not committed is removed. All zero is allowed. */
void outfile_deinit(struct outfile *o);

#endif
