/* SPDX-License-Identifier: MIT */
/*
 * recorder: keeps what a running trace knows in an incident file. L9 record. A sink of the trace.
 */
#ifndef LMT_RECORD_RECORDER_H
#define LMT_RECORD_RECORDER_H

#include <stdbool.h>
#include <stdint.h>

struct trace_sink;

/* Strings are borrowed, and outlive the recorder. */
struct recorder_config {
	const char *path;    /* of the file to make */
	bool force;          /* …over one that is there */
	uint64_t max_bytes;  /* of it; 0: no limit */
	const char *trigger; /* when to write it; NULL: from the start */
	double before_s;     /* kept in memory until then */
	bool census;         /* also who holds what */
	bool only_reports;   /* moments are those of the reports, else those of all looks */
	bool sole;           /* the file is all the output there is */
};

/* *ret is the caller's, for session_add_sink(). 0 or -ENOMEM; what is wrong shows in open(). */
int recorder_new(const struct recorder_config *cfg, struct trace_sink **ret);

#endif
