/* SPDX-License-Identifier: MIT */
/* finding_lines: the lines that fill a container, out of an EVIDENCE_LINES' text. L6 report. */
#ifndef LMT_REPORT_FINDING_LINES_H
#define LMT_REPORT_FINDING_LINES_H

#include <stdbool.h>
#include <stdint.h>

struct finding_line {
	char line[1024], kind[32]; /* "@app.lua:12"; "": no Lua line is known */
	uint64_t bytes, blocks;
	double growth_bytes_per_s;
};

/* The next one; *text begins as the evidence's and moves on. False: there are no more. */
bool finding_lines_next(const char **text, struct finding_line *ret);

#endif
