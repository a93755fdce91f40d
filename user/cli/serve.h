/* SPDX-License-Identifier: MIT */
/*
 * serve: the trace's figures over HTTP, for scrapers: /metrics and /debug/pprof/heap. L10 cli.
 * A sink of the trace; runs in its loop: no thread, one answer at a time.
 */
#ifndef LMT_CLI_SERVE_H
#define LMT_CLI_SERVE_H

struct options;
struct trace_sink;

/*
 * Listens where the options say (see http_open()), once the trace begins. *ret is the caller's,
 * for session_add_sink(); opt must outlive it. 0 or -ENOMEM.
 */
int serve_new(const struct options *opt, struct trace_sink **ret);

#endif
