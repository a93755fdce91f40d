/* SPDX-License-Identifier: MIT */
/*
 * past: what the last report still says of processes that ended long ago, in few bytes each: who
 * they were, and which copies of Lua they ran. L8 trace.
 */
#ifndef LMT_TRACE_PAST_H
#define LMT_TRACE_PAST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/strpool.h"
#include "base/vec.h"
#include "discover/target.h"
#include "report/model.h"
#include "resolve/runtime.h"

struct past_runtime {
	uint32_t id;
	unsigned int family;
	/* in the string pool */
	uint32_t title, version, variant, module, build_id, layout, evidence;
};

struct past_process {
	pid_t pid;
	uint32_t comm, exe, container; /* in the string pool */
	uint64_t start_realtime_ns;
	uint32_t first_runtime, n_runtimes; /* in past.runtimes */
	bool reported;
};

struct past {
	vec_of(struct past_process) processes; /* oldest first */
	vec_of(struct past_runtime) runtimes;
	uint64_t dropped; /* of whom nothing is known any more */
};

void past_deinit(struct past *p);

/* Notes a process; beyond max processes (0: no limit) the older half is dropped. 0 or -ENOMEM. */
int past_add(struct past *p, const struct target *t, const struct resolved *r, bool reported,
	     size_t max, struct strpool *strings);

/* Adds their records to a report: all, or those that no report had yet. mark: this one has. */
int past_report(struct past *p, bool only_new, bool mark, const struct strpool *strings,
		struct report *to);

#endif
