/* SPDX-License-Identifier: MIT */
/*
 * budget: when the allocators carry their probes, so that the cost stays below --max-overhead.
 * L8 trace. Pure: what was seen in, what to do out.
 *
 * The cost is a share of the processor time the targets would use without us, of one core at least:
 * a busy program is slowed down by so much, an idle one costs so much of a core.
 *
 * The budget is for the start, until there is something to compare with, and for heaps that rise.
 * While none does there is nothing to find, and windows are rare enough to be lost in what
 * requests differ by anyway.
 */
#ifndef LMT_TRACE_BUDGET_H
#define LMT_TRACE_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

enum budget_phase {
	BUDGET_CALIBRATE, /* exact for a moment, to learn what it costs */
	BUDGET_EXACT,     /* and it stays so */
	BUDGET_WINDOW,    /* exact for a moment, again and again */
	BUDGET_PAUSE,     /* between windows */
};

/* What the polls say of the targets' heaps. */
enum budget_heaps {
	BUDGET_HEAPS_UNKNOWN, /* too early to tell */
	BUDGET_HEAPS_CALM,    /* none holds more than it did */
	BUDGET_HEAPS_RISE,
};

enum budget_action { BUDGET_GO_ON, BUDGET_TAKE_OFF, BUDGET_PUT_ON };

/* What was seen since the start of the trace. */
struct budget_seen {
	uint64_t now_ns;
	uint64_t cpu_ns;  /* of the targets */
	/* that they were ready but had no processor: not idle, and no time of theirs */
	uint64_t wait_ns;
	uint64_t events;  /* calls of the allocators that were recorded */
	enum budget_heaps heaps;
};

struct budget {
	double max_pct;      /* what is allowed */
	bool may_stay_exact; /* auto; else windows only */
	bool only_exact;     /* never windows: measure only */
	double ns_per_event; /* 0: not known yet */
	enum budget_phase phase;
	struct budget_seen start, at; /* of the trace, of the phase */
	double spent_ns;     /* in all phases before this one */
	unsigned int windows;
	uint64_t windows_ns; /* when their time began */
	bool sparse;         /* nothing rises: far fewer windows than the budget has room for */
	struct budget_seen since; /* they are so dense, or so sparse; */
	double since_spent_ns;    /* …spent_ns then */
	double window_cost_ns; /* of the latest window */
	uint64_t asked_ns;   /* when the latest window out of turn began; 0: none */
	double unseen;       /* calls between windows, as far as the windows tell */
	double calls_per_ns; /* of the targets' own processor time in the latest window */
	double full_pct;     /* predicted or seen cost of exact tracing */
	unsigned int over;   /* seconds in a row above the budget */
};

void budget_start(struct budget *b, const struct budget_seen *seen);

/* Enough was seen to tell what a call costs: ns_per_event is to be set now. */
bool budget_can_calibrate(const struct budget *b, const struct budget_seen *seen);

/* Called every few milliseconds. */
enum budget_action budget_step(struct budget *b, const struct budget_seen *seen);

/*
 * A window now, out of turn: those to come pay for it. At most one a second, else budget_may_ask()
 * is false.
 */
bool budget_may_ask(const struct budget *b, uint64_t now_ns);
enum budget_action budget_ask_window(struct budget *b, const struct budget_seen *seen);

/* Share of the calls that were recorded, in percent. */
double budget_seen_pct(const struct budget *b, const struct budget_seen *seen);

/* Share of one core that the trace has cost so far, in percent. */
double budget_cpu_pct(const struct budget *b, const struct budget_seen *seen);

#endif
