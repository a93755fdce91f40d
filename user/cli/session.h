/* SPDX-License-Identifier: MIT */
/*
 * session: one trace from start to end: wires the stages, owns every object, runs the one loop.
 * L7 cli.
 */
#ifndef LMT_CLI_SESSION_H
#define LMT_CLI_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "attach/attach.h"
#include "attach/plan.h"
#include "base/strpool.h"
#include "collect/gcpoll.h"
#include "collect/live.h"
#include "heap/detect.h"
#include "heap/heap.h"
#include "options.h"
#include "resolve/runtime.h"

/* Copies for the lines of sites whose target may be gone; the latest few. */
#define SESSION_COPIES 16

/* A C function whose arguments are looked at. */
struct session_watch {
	uint32_t probe; /* index of its probe */
	uint32_t name;  /* in the string pool */
};

/* One traced process. */
struct session_target {
	struct target *target;
	struct memread mem;
	struct resolved *resolved;
	struct plan *plan;
	int slot;
	int pid_fd; /* readable when the process has ended */
	bool ended;
	bool execed;
	bool ffi_seen;
	bool missed_calls; /* an allocator was called before it got its probe, or has none */
	vec_of(struct session_watch) watched;
};

enum session_end { SESSION_RUNNING, SESSION_SIGNAL, SESSION_DURATION, SESSION_COUNT, SESSION_TARGETS };

struct session {
	const struct options *opt;
	const char *command; /* the command line, for the header */
	struct files files;
	struct features features;
	vec_of(struct session_target) targets; /* grows only before the trace starts */
	struct attach *attach;
	struct live *live;
	struct gcpoll gc;
	struct heap heap;
	struct findings findings;
	uint64_t findings_told; /* of the last report */
	struct lmt_memory copies[SESSION_COPIES];
	unsigned int n_copies;
	struct strpool *strings;
	uint64_t start_realtime_ns;
	uint64_t start_ns; /* CLOCK_MONOTONIC */
	uint64_t reports;
	enum session_end end;
	bool write_failed;
};

/*
 * Opens every process of the options and finds Lua in it; nothing is attached. *ret is the
 * caller's, to be given to session_free(). -ESRCH no such process or no Lua in it, -EACCES, …
 */
int session_open(const struct options *opt, const char *command, struct session **ret,
		 struct errmsg *err);
void session_free(struct session *s);

/* Attaches, runs until the end, writes the reports to stdout. */
int session_trace(struct session *s, struct errmsg *err);

/* For session_track.c: what happens to the targets while the trace runs. */
int session_enter_states(struct session *s, struct session_target *t);
int session_on_event(const struct lmt_event *e, void *ctx);
void session_poll_gc(struct session *s);

/* session_watch.c: MODULE:FUNCTION gets its probe. */
int session_watch_call(struct session *s, struct session_target *t, const char *spec,
		       struct errmsg *err);

/* CLOCK_REALTIME of a CLOCK_MONOTONIC time of this session. */
uint64_t session_realtime(const struct session *s, uint64_t monotonic_ns);

#endif
