/* SPDX-License-Identifier: MIT */
/*
 * session_memory: where the memory of each target is, measured now and then from outside: no probe,
 * no stop. L8 trace.
 */
#ifndef LMT_TRACE_SESSION_MEMORY_H
#define LMT_TRACE_SESSION_MEMORY_H

#include "discover/headroom.h"
#include "heap/memory.h"

struct session;
struct session_target;

struct target_memory {
	struct memory_series recent; /* of the last minutes */
	struct memory_series whole;  /* of the whole trace */
	bool free_known;             /* what lies free in its allocators could be read */
	struct memory_limit limit;   /* as it was then */
	uint64_t next_ns;            /* when it is due again, CLOCK_MONOTONIC */
};

/*
 * Once a look: measures those targets that are due, for a fiftieth of a processor at most; all:
 * those that were not measured in the last half second too, for a report.
 */
void session_memory_look(struct session *s, bool all);

/* What grows outside of Lua becomes a finding. */
void session_memory_find(struct session *s, uint64_t now_ns);

/* As it was measured last; NULL: it never was. */
const struct memory_point *session_memory_of(const struct session_target *t);

#endif
