/* SPDX-License-Identifier: MIT */
/*
 * sink: who takes what a trace finds: a recording, a screen, scrapers, files, stdout. L8 trace.
 * The engine gives to them and knows no more of them than this.
 */
#ifndef LMT_TRACE_SINK_H
#define LMT_TRACE_SINK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct report;
struct report_call;
struct session;
struct snapshot;
struct trace_sink;

/* One look at the ledger. */
struct trace_look {
	const struct snapshot *snap;
	bool report, last; /* one that INTERVAL or a sink asks for; the one before the end */
	const struct report *r; /* for those that take reports, else NULL */
};

/*
 * In the order of a trace; any may be NULL. An int is 0 or a negative errno, which ends the trace.
 */
struct trace_sink_ops {
	/* Before anything is attached: tells what cannot be written. */
	int (*open)(struct trace_sink *k, struct session *s, struct errmsg *err);
	/* The probes stand, the command runs. */
	int (*start)(struct trace_sink *k, struct session *s, struct errmsg *err);
	/* Each look; of those that take reports, the ones with a report. */
	int (*on_look)(struct trace_sink *k, struct session *s, const struct trace_look *l);
	/* Its fd is readable; if it ticks, also now and then. */
	void (*on_ready)(struct trace_sink *k, struct session *s);
	/* An allocator call, where all are asked for; then, that these were all for now. */
	void (*on_call)(struct trace_sink *k, struct session *s, const struct report_call *c);
	void (*on_drained)(struct trace_sink *k, struct session *s);
	/* A process that is reported ended. status: as wait() says, -1 unknown. */
	void (*on_target_end)(struct trace_sink *k, struct session *s, pid_t pid, int status);
	void (*on_signal)(struct trace_sink *k, struct session *s); /* SIGUSR1 */
	/* The last look follows, unless the trace broke off. */
	int (*before_end)(struct trace_sink *k, struct session *s, bool broke_off);
	/* What it knows that a last report shows too, which must be gone before the sink. */
	int (*add_to_last)(const struct trace_sink *k, const struct session *s, struct report *r);
	/* What could not be written so far, or NULL. */
	const struct errmsg *(*error)(const struct trace_sink *k);
	/* The end of a trace that did not break off: the first failure, with its text. */
	int (*close)(struct trace_sink *k, struct errmsg *err);
	void (*free)(struct trace_sink *k); /* also one that was never opened */
};

/* The first member of each. */
struct trace_sink {
	const struct trace_sink_ops *ops;
	int fd;             /* after start(); -1: none */
	bool ticks;
	bool takes_reports;
	bool whole;         /* …in which everything stands, not only what is new since the last */
	bool only_new;      /* …without processes and copies of Lua that an earlier one had */
	bool records;       /* looks at the start, and with no long pauses between two looks */
	bool sole;          /* when it fails there is nothing left to trace for */
	uint64_t capabilities; /* bits of those it takes to go on writing */
};

#define SESSION_SINKS 8

/* The session takes the sink over; before session_trace(). -E2BIG. */
int session_add_sink(struct session *s, struct trace_sink *take);

/*
 * A report could not be written (an errno; 0: not known why): the trace ends. EPIPE is not a
 * failure.
 */
void session_write_failed(struct session *s, int why);

/* For the engine: all sinks in turn. */
int sinks_open(struct session *s, struct errmsg *err);
int sinks_start(struct session *s, struct errmsg *err);
int sinks_look(struct session *s, const struct snapshot *snap, bool report, bool last);
void sinks_on_ready(struct session *s, unsigned int i);
void sinks_tick(struct session *s);
void sinks_on_call(struct session *s, const struct report_call *c);
void sinks_on_drained(struct session *s);
void sinks_on_target_end(struct session *s, pid_t pid, int status);
void sinks_on_signal(struct session *s);
bool sinks_want_signal(const struct session *s);
int sinks_before_end(struct session *s, bool broke_off);
int sinks_add_to_last(const struct session *s, struct report *r);
bool sinks_record(const struct session *s);
bool sinks_gave_up(const struct session *s);
uint64_t sinks_capabilities(const struct session *s);
int sinks_close(struct session *s, struct errmsg *err);
void sinks_free(struct session *s);

#endif
