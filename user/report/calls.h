/* SPDX-License-Identifier: MIT */
/*
 * calls: each allocator call as a line, while it happens (--trace). L6 report.
 */
#ifndef LMT_REPORT_CALLS_H
#define LMT_REPORT_CALLS_H

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "model.h"

struct report_call {
	uint64_t realtime_ns, since_start_ns;
	pid_t pid, tid;
	uint32_t state;       /* 0: belongs to none that is known */
	uint32_t op;          /* LMT_CALL_… of event.h */
	uint64_t ptr, old_ptr; /* 0: none */
	uint64_t osize, nsize; /* bytes */
	const char *kind;     /* NULL: not known */
	struct report_frame frame; /* of a free: where the block came from */
};

void calls_write_heading(FILE *out);
void calls_write_text(const struct report_call *c, FILE *out);
void calls_write_json(const struct report_call *c, FILE *out);

#endif
