/* SPDX-License-Identifier: MIT */
/*
 * exports: the files that a live run writes besides its report: flame graphs, profiles.
 * L10 cli.
 */
#ifndef LMT_CLI_EXPORTS_H
#define LMT_CLI_EXPORTS_H

#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"
#include "base/outfile.h"
#include "options.h"
#include "report/flame.h"

struct trace_sink;

#define EXPORTS 3 /* rows of the table in exports.c */

struct exports {
	struct outfile out[EXPORTS]; /* not open: not wanted */
	struct flame *flame; /* from the first interval report on, the base of a comparison */
};

/*
 * Opens what is to be written, so that a file that cannot be is known before the trace; what is
 * there stays until there is something new. -EIO with the text for the user.
 */
int exports_open(struct exports *e, const struct options *opt, struct errmsg *err);
void exports_deinit(struct exports *e);

/* Is there anything to write? */
bool exports_wanted(const struct options *opt);

/* How many exports go to stdout; then the report must not. */
unsigned int exports_take_stdout(const struct options *opt);

/* Takes each report; writes with the last. 0 or a negative errno. */
int exports_report(struct exports *e, const struct options *opt, const struct report *r);

/* The same as a sink of a trace. *ret is the caller's; opt must outlive it. 0 or -ENOMEM. */
int exports_new(const struct options *opt, struct trace_sink **ret);

#endif
