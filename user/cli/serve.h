/* SPDX-License-Identifier: MIT */
/*
 * serve: the trace's figures over HTTP, for scrapers: /metrics and /debug/pprof/heap. L10 cli.
 * Runs in the session's loop: no thread, one answer at a time.
 */
#ifndef LMT_CLI_SERVE_H
#define LMT_CLI_SERVE_H

#include "base/err.h"
#include "report/model.h"

struct serve;
struct session;

/*
 * Listens at HOST:PORT, [HOST]:PORT or :PORT. *ret is the caller's, to be given to serve_close();
 * s must outlive it. 0 or a negative errno.
 */
int serve_open(struct session *s, const char *address, struct serve **ret, struct errmsg *err);
void serve_close(struct serve *v);

/* Readable when there is something to do. */
int serve_fd(const struct serve *v);
/* Does it; to be called now and then in any case, for connections that say nothing. */
void serve_run(struct serve *v);

/* Takes the report that the answer is made of. 0 or a negative errno. */
int serve_take(struct serve *v, const struct report *r);

#endif
