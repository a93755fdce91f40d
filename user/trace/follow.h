/* SPDX-License-Identifier: MIT */
/*
 * follow: processes that may become targets. L8 trace.
 */
#ifndef LMT_TRACE_FOLLOW_H
#define LMT_TRACE_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/hashmap.h"
#include "base/vec.h"

struct lmt_event;
struct session;
struct session_target;

/* A process that may become a target. */
struct candidate {
	pid_t pid;
	char comm[16];  /* when it ran another program; "" not known */
	uint64_t due_ns;
	unsigned int tries;
	bool once;      /* a child of a target: looked at soon, then forgotten */
	bool likely;    /* its program, or its parent, is known to run Lua */
	bool looked_at; /* while it lived, at what it had mapped by then */
	bool refused;   /* …and could not be traced, which was said */
	bool seen;
};

/* Processes of one name that ended before they could be looked at. */
struct unseen {
	char comm[16];
	bool likely;
	uint64_t n;
};

struct follow {
	vec_of(struct candidate) list;
	struct hashmap by_pid; /* pid → position + 1 */
	unsigned int n_likely; /* in the list: looked at in haste */
	uint64_t next_sweep_ns;
	vec_of(struct unseen) unseen;
};

bool follow_wanted(const struct session *s); /* -a, -n, or a command */
int follow_sweep(struct session *s, struct errmsg *err); /* before the trace: all there are */
void follow_add(struct session *s, pid_t pid, uint64_t delay_ns, bool once);
/* A child of a target, which has its Lua unless it runs another program now. */
void follow_child(struct session *s, const struct session_target *parent, pid_t pid);
/* It runs another program now. */
void follow_exec(struct session *s, const struct lmt_event *e);
void follow_run(struct session *s);
#define FORK_DELAY_NS 10000000 /* most children run another program at once */
/* Until follow_run() is due, at most; -1: no haste. */
int follow_timeout_ms(const struct session *s);
/* Before the last report. */
void follow_end(struct session *s);
/* Processes that ran Lua for all we know, and ended too soon. */
uint64_t follow_unseen(const struct follow *f);
/* A sentence that names them, or those of whom nothing is known; false: none. */
bool follow_unseen_text(const struct follow *f, bool likely, char *buf, size_t size);
/* Is anybody waited for, who may be a target soon? */
bool follow_waits(const struct session *s);
void follow_deinit(struct follow *f);

/*
 * follow_family.c: before the trace, of the processes that were asked for by number the descendants
 * that run Lua. -ESRCH: one of these, and all that descend from it, run none.
 */
int follow_open_family(struct session *s, struct errmsg *err);
/* …and once the probes stand, those that came meanwhile, and who will. */
void follow_start_family(struct session *s);

#endif
