/* SPDX-License-Identifier: MIT */
/*
 * printer: the reports of a trace, and the lines of --trace, on stdout. L10 cli. A sink of the
 * trace.
 */
#ifndef LMT_CLI_PRINTER_H
#define LMT_CLI_PRINTER_H

#include "options.h"

struct trace_sink;

/* *ret is the caller's, for session_add_sink(); opt must outlive it. 0 or -ENOMEM. */
int printer_new(const struct options *opt, struct trace_sink **ret);

#endif
