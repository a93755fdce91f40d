/* SPDX-License-Identifier: MIT */
/*
 * session_budget: what the trace costs: measured, kept below --max-overhead, reported. L8 trace.
 */
#ifndef LMT_TRACE_SESSION_BUDGET_H
#define LMT_TRACE_SESSION_BUDGET_H

#include "attach/plan.h"
#include "budget.h"
#include "heap/estimate.h"
#include "report/model.h"

struct session;

struct session_cost {
	struct budget budget;
	struct estimate estimate;
	bool windows; /* some calls were not seen */
	uint64_t stretch_ms; /* up to which births in a whole ledger were sampled; 0: not yet */
	unsigned int ticks;
	struct session_rare {
		uint64_t hits, at_ns; /* when it was last looked at */
		bool off;
	} rare[PLAN_PROGRAMS]; /* probes of which it is not sure that they are rarely hit */
	uint64_t runs, run_ns; /* when it began to */
	uint64_t last_events, lost_events, last_cpu, lost_cpu, last_wait, lost_wait;
};

/* When the probes stand and record. */
void session_budget_start(struct session *s);

/* Every few milliseconds: probes go off and on as the budget says. 0 or a negative errno. */
int session_budget_step(struct session *s);

/* A window right now, if there is none: something rare has happened. 0 or a negative errno. */
int session_budget_window(struct session *s);

/* Share of the calls that were seen, in percent; seconds since the start. */
void session_budget_seen(struct session *s, double *pct_ret, double *seconds_ret);

/* Cost, coverage and mode. */
void session_budget_report(struct session *s, struct report *r);

#endif
