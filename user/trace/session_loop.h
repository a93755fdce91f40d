/* SPDX-License-Identifier: MIT */
/*
 * session_loop: what a running trace waits for, and what it does then: signals, notices from BPF,
 * timers, ended targets, keys, scrapers. L8 trace.
 */
#ifndef LMT_TRACE_SESSION_LOOP_H
#define LMT_TRACE_SESSION_LOOP_H

#include <signal.h>

#include "session.h"

struct loop {
	int signal_fd, gc_fd, snapshot_fd, interval_fd, duration_fd;
};

#define LOOP_CLOSED { -1, -1, -1, -1, -1 }

/*
 * Signals that end a trace wait for its loop from now on. A shell's background jobs have SIGINT
 * ignored: one that comes while the probes are being placed would be lost.
 */
sigset_t loop_hold_signals(const struct session *s);

/* 0 or a negative errno; then too loop_close() is due. */
int loop_open(struct session *s, struct loop *l);
void loop_close(struct session *s, struct loop *l);

/* From now on sinks are listened to that have something to read. */
int loop_watch_sinks(struct session *s);

/* Runs until s->end says why it is over, or fails. 0 or a negative errno. */
int loop_run(struct session *s, struct loop *l);

#endif
