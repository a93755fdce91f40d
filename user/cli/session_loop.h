/* SPDX-License-Identifier: MIT */
/*
 * session_loop: what a running trace waits for, and what it does then: signals, notices from BPF,
 * timers, ended targets, keys, scrapers. L7 cli.
 */
#ifndef LMT_CLI_SESSION_LOOP_H
#define LMT_CLI_SESSION_LOOP_H

#include "session.h"

struct loop {
	int signal_fd, gc_fd, snapshot_fd, interval_fd, duration_fd;
};

#define LOOP_CLOSED { -1, -1, -1, -1, -1 }

/* 0 or a negative errno; then too loop_close() is due. */
int loop_open(struct session *s, struct loop *l);
void loop_close(struct session *s, struct loop *l);

/* From now on keys of the terminal are listened to. */
int loop_watch_keys(struct session *s);

/* Runs until s->end says why it is over, or fails. 0 or a negative errno. */
int loop_run(struct session *s, struct loop *l);

#endif
