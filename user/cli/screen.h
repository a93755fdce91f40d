/* SPDX-License-Identifier: MIT */
/* screen: the terminal of the live view: taken over, drawn, given back on every way out. L10 cli. */
#ifndef LMT_CLI_SCREEN_H
#define LMT_CLI_SCREEN_H

#include "base/err.h"
#include "report/model.h"

struct screen;

/* Is there a terminal to draw on? 0 or -EINVAL. */
int screen_check(struct errmsg *err);

/* Takes the terminal on stdin and stdout. *ret is the caller's, to be given to screen_close(). */
int screen_open(bool color, struct screen **ret, struct errmsg *err);
/* Gives the terminal back as it was. */
void screen_close(struct screen *s);

/* Shows the report unless paused. 0 or -ENOMEM. */
int screen_show(struct screen *s, const struct report *r);

/* Takes the keys that were pressed; true when the user wants to leave. */
bool screen_keys(struct screen *s);

#endif
