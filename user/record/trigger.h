/* SPDX-License-Identifier: MIT */
/*
 * trigger: what makes a quiet recorder write its file. L9 record.
 */
#ifndef LMT_RECORD_TRIGGER_H
#define LMT_RECORD_TRIGGER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "report/model.h"

struct triggers;

/*
 * "heap>512M,growth>1M/min,oom,signal", kinds of findings. *ret is the caller's, to be given to
 * triggers_free(). -EINVAL with the text for the user.
 */
int triggers_parse(const char *text, struct triggers **ret, struct errmsg *err);
void triggers_free(struct triggers *t);

/* Looks at one moment; true when something is so for the first time, with why. */
bool triggers_check(struct triggers *t, const struct report *r, char *why, size_t size);

/* A process ended. status: as wait() says, -1 unknown. */
bool triggers_check_end(struct triggers *t, pid_t pid, int status, char *why, size_t size);

#endif
