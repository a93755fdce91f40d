/* SPDX-License-Identifier: MIT */
/*
 * config: what a trace is to do: the engine's own form of the options, which it does not know.
 * L8 trace. Everything it points to is borrowed and outlives the session.
 */
#ifndef LMT_TRACE_CONFIG_H
#define LMT_TRACE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "report/sort.h"

struct suppressions;

enum mode { MODE_AUTO, MODE_WATCH, MODE_EXACT };

struct trace_config {
	const char *command_line; /* as it was given, for the header */

	/* Whom: one of the pids, a command, or all (of a name, of a cgroup). */
	const pid_t *pids;
	size_t n_pids;
	bool children;        /* of the pids: their descendants that run Lua, too */
	bool skip_missing;    /* a process that ended meanwhile is not an error */
	bool all;
	const char *name;     /* comm */
	const char *cgroup;   /* path, and all below it */
	char **command;       /* NULL-terminated; NULL: none is started */

	/* How. */
	enum mode mode;
	double max_overhead_pct; /* auto and watch */
	uint64_t max_blocks, max_states;
	uint64_t sample_bytes, stack_depth;
	bool native;          /* C functions in the stacks… */
	bool lua_only;        /* …are not shown */
	bool each_call;       /* every allocator call is given to the sinks */
	uint64_t pause_budget_ms;
	const char *const *watch_calls; /* MODULE:FUNCTION */
	size_t n_watch_calls;

	/* How long. */
	double interval_s;    /* between reports; 0: one at the end */
	double duration_s;    /* 0: until the end */
	uint64_t count;       /* reports; 0: no limit */

	/* What of it is reported. */
	uint64_t older_ms, min_size, max_size;
	uint64_t only_state;  /* its number; 0: every one */
	uint32_t kinds;       /* bit set of enum finding_kind; 0: all */
	const struct suppressions *suppressions;
	enum sort_key sort;
	size_t top;           /* places and states; 0: all */
};

#endif
