/* SPDX-License-Identifier: MIT */
/*
 * launch: the command behind "--", stopped before its first instruction. L8 trace.
 */
#ifndef LMT_TRACE_LAUNCH_H
#define LMT_TRACE_LAUNCH_H

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/err.h"

struct session;
struct session_target;

struct launch {
	pid_t child;  /* the command we started, or 0 */
	bool ended;   /* it did, and how, as wait() says */
	int status;
	pid_t guard;  /* lets the command go on should we die, or 0 */
	int guard_pipe;
	struct rlimit descriptors; /* as we found it, for the command */
};

/* Each process takes us two or three, each file one: 1,024 would do for few hundred processes. */
void launch_raise_descriptors(struct launch *l);

int launch_start(struct session *s, struct errmsg *err);
void launch_go(struct session *s);
void launch_on_exec(struct session *s, pid_t pid);
void launch_continue(const struct session_target *t);
void launch_reap(struct session *s);

#endif
