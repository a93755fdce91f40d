/* SPDX-License-Identifier: MIT */
/*
 * session_confirm: before a place is called a leak, a census says who holds its objects; and of the
 * objects born in windows, which of them live. L8 trace.
 */
#ifndef LMT_TRACE_SESSION_CONFIRM_H
#define LMT_TRACE_SESSION_CONFIRM_H

#include <stdbool.h>

struct session;
struct snapshot;

/*
 * After the verdicts of a look, before findings are reported. Never fails: a path may stay
 * unknown.
 */
void session_confirm_look(struct session *s, const struct snapshot *snap, bool last);

#endif
