/* SPDX-License-Identifier: MIT */
/* session_calls: gives each allocator call to the sinks, for --trace. L8 trace. */
#ifndef LMT_TRACE_SESSION_CALLS_H
#define LMT_TRACE_SESSION_CALLS_H

#include "session.h"

int session_on_call(struct session *s, const struct lmt_call_event *e);

#endif
