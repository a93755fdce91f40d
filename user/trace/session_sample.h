/* SPDX-License-Identifier: MIT */
/*
 * session_sample: what stays of the objects that are born in windows; where collectors hardly run,
 * of those in a whole ledger too. Feeds heap/estimate.c. L8 trace.
 */
#ifndef LMT_TRACE_SESSION_SAMPLE_H
#define LMT_TRACE_SESSION_SAMPLE_H

#include "session.h"

/* A window was closed: remembers some of the objects that it has left behind. */
int session_sample_window(struct session *s);

/* After a snapshot was applied to the heap. */
int session_sample_look(struct session *s);

/* The verdicts, out of what is known of the samples. */
void session_sample_judge(struct session *s);

#endif
