/* SPDX-License-Identifier: MIT */
/*
 * screen: the terminal of the live view: taken over, drawn, given back on every way out. L10 cli.
 * A sink of the trace.
 */
#ifndef LMT_CLI_SCREEN_H
#define LMT_CLI_SCREEN_H

#include <stdbool.h>

#include "base/err.h"

struct trace_sink;

/* Is there a terminal to draw on? 0 or -EINVAL. */
int screen_check(struct errmsg *err);

/* Takes the terminal once the trace runs. *ret is the caller's, for session_add_sink(). -ENOMEM. */
int screen_new(bool color, struct trace_sink **ret);

#endif
