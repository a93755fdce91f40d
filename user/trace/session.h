/* SPDX-License-Identifier: MIT */
/*
 * session: one trace from start to end: wires the stages, owns every object, runs the one loop.
 * L8 trace.
 */
#ifndef LMT_TRACE_SESSION_H
#define LMT_TRACE_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "attach/attach.h"
#include "collect/gcpoll.h"
#include "collect/live.h"
#include "config.h"
#include "follow.h"
#include "heap/detect.h"
#include "heap/heap.h"
#include "launch.h"
#include "resolve/runtime.h"
#include "session_budget.h"
#include "session_names.h"
#include "sink.h"
#include "targets.h"

/* When it began, and when what happens now and then is due again; CLOCK_MONOTONIC. */
struct session_clock {
	uint64_t start_realtime_ns; /* CLOCK_REALTIME */
	uint64_t start_ns;
	uint64_t next_look_ns; /* after `deaths` of states since the latest look */
	uint64_t deaths;
	uint64_t next_rest_ns; /* of files that nobody asks of any more */
	uint64_t next_confirm_ns; /* of a census; see session_confirm.c */
};

enum session_end {
	SESSION_RUNNING,
	SESSION_SIGNAL,
	SESSION_DURATION,
	SESSION_COUNT,
	SESSION_TARGETS
};

struct session {
	struct trace_config cfg;
	struct session_clock clock;
	struct files files;
	struct features features;
	struct targets targets;
	struct follow follow;
	struct launch launch;
	struct attach *attach;
	struct live *live;
	struct gcpoll gc;
	struct session_cost cost;
	struct heap heap;
	struct findings findings;
	uint64_t findings_shown; /* of the last report */
	struct session_names names;
	struct trace_sink *sinks[SESSION_SINKS];
	unsigned int n_sinks;
	uint64_t reports;
	int write_errno; /* of a report, or 0 */
	int epoll_fd;    /* of the loop, -1 before it */
	enum session_end end;
};

/*
 * Opens every process of the configuration and finds Lua in it; nothing is attached. *ret is the
 * caller's, to be given to session_free(). -ESRCH no such process or no Lua in it, -EACCES, …
 */
int session_open(const struct trace_config *cfg, struct session **ret, struct errmsg *err);
void session_free(struct session *s);

/* Attaches, runs until the end, gives what it sees to the sinks. */
int session_trace(struct session *s, struct errmsg *err);

/*
 * session_files.c: now and then, gives up what was read of files, and files that nobody has any
 * more.
 */
void session_rest_files(struct session *s);
/* For session_track.c: what happens to the targets while the trace runs. */
int session_enter_states(struct session *s, struct session_target *t);
int session_on_event(const struct lmt_event *e, void *ctx);
int session_meet_states(struct session *s, const struct snapshot *snap);
void session_poll_gc(struct session *s);
int session_read_kinds(struct session *s, const struct snapshot *snap);

/* session_watch.c: MODULE:FUNCTION gets its probe. */
int session_watch_call(struct session *s, struct session_target *t, const char *spec,
		       struct errmsg *err);
/* Why the trace ended, or NULL when that goes without saying. */
const char *session_end_reason(const struct session *s);

/*
 * Takes what waits in the ring: all of it, once recording is off, or for about a second; what comes
 * faster than that waits for the next look. 0 or a negative errno.
 */
int session_drain(struct session *s, bool all);

/*
 * Sums the ledger up, lets detectors, recorder and trends see it; with a report, if asked. 0 or a
 * negative errno.
 */
int session_look(struct session *s, bool report, bool last);

/* CLOCK_REALTIME of a CLOCK_MONOTONIC time of this session. */
uint64_t session_realtime(const struct session *s, uint64_t monotonic_ns);

#endif
