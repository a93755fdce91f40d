/* SPDX-License-Identifier: MIT */
/* heaps: what lay on the recorded heaps, and who held it, as text and as records. L6 report. */
#ifndef LMT_REPORT_HEAPS_H
#define LMT_REPORT_HEAPS_H

#include <stdio.h>

#include "format.h"
#include "model.h"

void heaps_write_text(const struct report *r, const struct format_options *opt, FILE *out);
struct jsonw;
void heaps_put_path(struct jsonw *w, const char *path); /* "path": its steps; NULL: nothing */
void heaps_write_json(const struct report *r, FILE *out);

#endif
