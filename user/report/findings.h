/* SPDX-License-Identifier: MIT */
/*
 * findings: how findings look in each format. L6 report.
 */
#ifndef LMT_REPORT_FINDINGS_H
#define LMT_REPORT_FINDINGS_H

#include <stdio.h>

#include "format.h"
#include "model.h"

/* json.c: `stack`, and `via` where C functions lie above the innermost Lua frame. */
struct jsonw;
void json_write_stack(struct jsonw *w, const char *key, const char *via, const struct report *r,
		      const struct report_stack *st);

void findings_write_json(const struct report *r, FILE *out);
void findings_write_text(const struct report *r, const struct format_options *opt, FILE *out);

#endif
