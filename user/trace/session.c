/* SPDX-License-Identifier: MIT */
#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/fmt.h"
#include "base/log.h"
#include "privileges.h"
#include "session_budget.h"
#include "session_find.h"
#include "session_confirm.h"
#include "session_loop.h"
#include "session_memory.h"
#include "session_sample.h"

#define BLOCK_BYTES 48     /* of a typical Lua block: tables, closures, short strings */
#define GROWTH_ROOM 4      /* the ledger has room for this many times the heap found */
#define MIN_BLOCKS (1u << 20)
#define MAX_BLOCKS (16u << 20)
#define MIN_STATES (1u << 14)
#define MIN_SITES (1u << 18)
#define MAX_SITES (1u << 20)
#define STATE_SITES 32    /* of a typical state with little in it */
#define MAX_STACKS (1u << 16)

uint64_t session_realtime(const struct session *s, uint64_t monotonic_ns)
{
	return s->clock.start_realtime_ns + (monotonic_ns - s->clock.start_ns);
}

void session_free(struct session *s)
{
	if (!s)
		return;
	sinks_free(s);
	live_free(s->live);
	attach_free(s->attach);
	targets_deinit(&s->targets);
	follow_deinit(&s->follow);
	gcpoll_deinit(&s->gc);
	findings_deinit(&s->findings);
	estimate_deinit(&s->cost.estimate);
	heap_deinit(&s->heap);
	names_deinit(&s->names);
	files_deinit(&s->files);
	free(s);
}

int session_open(const struct trace_config *cfg, struct session **ret, struct errmsg *err)
{
	struct session *s = calloc(1, sizeof(*s));
	int rc = 0;

	if (!s || names_init(&s->names) || targets_init(&s->targets)) {
		session_free(s);
		return errmsg_set(err, -ENOMEM, "out of memory");
	}
	s->findings.strings = s->names.strings;
	s->cfg = *cfg;
	s->heap.closed.max_states = (uint32_t)cfg->max_states;
	s->clock.start_ns = clock_ns(CLOCK_MONOTONIC);
	s->clock.start_realtime_ns = clock_ns(CLOCK_REALTIME);
	s->epoll_fd = -1;
	launch_raise_descriptors(&s->launch);
	for (size_t i = 0; !rc && i < cfg->n_pids; i++) {
		rc = session_open_target(s, cfg->pids[i], cfg->children, NULL, err);
		if (rc == -ESRCH && cfg->skip_missing)
			rc = 0;
	}
	if (!rc && cfg->children)
		rc = follow_open_family(s, err);
	if (!rc && (cfg->all || cfg->name || cfg->cgroup))
		rc = follow_sweep(s, err);
	if (rc) {
		session_free(s);
		return rc;
	}
	*ret = s;
	return 0;
}

/* Room for several times the blocks that the heaps hold now. */
static uint64_t ledger_blocks(const struct session *s)
{
	uint64_t bytes = 0, blocks;

	if (s->cfg.max_blocks)
		return s->cfg.max_blocks;
	vec_each(t, &s->targets.all)
		vec_each(st, &t->resolved->states)
			bytes += st->gc.heap_bytes;
	blocks = bytes / BLOCK_BYTES * GROWTH_ROOM;
	return blocks < MIN_BLOCKS ? MIN_BLOCKS : blocks > MAX_BLOCKS ? MAX_BLOCKS : blocks;
}

static uint32_t site_count(const struct session *s)
{
	size_t n = 0;

	vec_each(t, &s->targets.all)
		n += t->resolved->states.n;
	n *= STATE_SITES;
	return n < MIN_SITES ? MIN_SITES : n > MAX_SITES ? MAX_SITES : (uint32_t)n;
}

static bool may_meet_luajit(const struct session *s)
{
	vec_each(t, &s->targets.all)
		vec_each(rt, &t->resolved->runtimes)
			if (rt->family == LMT_FAMILY_LUAJIT)
				return true;
	return follow_wanted(s) || s->cfg.command;
}

static int attach_all(struct session *s, struct errmsg *err)
{
	/* Entries of closed states come back some seconds later. */
	const char *without = getenv("LUAMEMTRACE_WITHOUT");
	uint32_t states = (uint32_t)s->cfg.max_states;
	uint32_t entries = (states < MIN_STATES ? MIN_STATES : states) + LMT_SLOT_MAX;
	struct attach_config cfg = {
		.max_blocks = ledger_blocks(s),
		.max_states = entries,
		.max_sites = site_count(s),
		.system_wide = s->cfg.all || s->cfg.name || s->cfg.cgroup,
		.follow_all = s->cfg.all || s->cfg.name || s->cfg.cgroup,
		.luajit = may_meet_luajit(s),
		.c_heap = session_wants_c_heap(s),
		.floor = getenv("LUAMEMTRACE_FLOOR") != NULL, /* tests/bench */
		.no_storage = getenv("LUAMEMTRACE_NO_STORAGE") != NULL, /* tests */
		.without = without ? (uint32_t)strtoul(without, NULL, 0) : 0, /* the same */
		.max_stacks = MAX_STACKS,
		.stack_depth = (uint32_t)s->cfg.stack_depth,
		.each_call = s->cfg.each_call,
		.sample_bytes = s->cfg.sample_bytes,
		.native = s->cfg.native,
	};
	int rc = attach_new(&cfg, &s->features, &s->attach, err);

	if (!rc)
		rc = live_new(attach_maps(s->attach), &s->live, err);
	for (size_t i = 0; !rc && i < s->targets.all.n; i++) {
		rc = session_attach_target(s, &s->targets.all.v[i], err);
		if (rc == -ESRCH && follow_wanted(s)) { /* one of many ended meanwhile */
			session_end_target(s, &s->targets.all.v[i]);
			rc = 0;
		}
	}
	return rc;
}

/* How the one process ended matters: a crash is what many look for. */
static const char *targets_end(const struct session *s)
{
	static char text[128];
	char how[96];

	if (s->targets.all.n != 1 && s->cfg.n_pids != 1)
		return "all processes have ended";
	/* the first is who was asked for */
	fmt_exit_status(s->targets.all.v[0].exit_status, how, sizeof(how));
	snprintf(text, sizeof(text), "the process %s", *how ? how : "has ended");
	return text;
}

const char *session_end_reason(const struct session *s)
{
	switch (s->end) {
	case SESSION_TARGETS:
		return targets_end(s);
	case SESSION_SIGNAL:
		return "interrupted";
	case SESSION_RUNNING:
	case SESSION_DURATION:
	case SESSION_COUNT:
		return NULL;
	}
	return NULL;
}

#define LOOK_TURNS 20 /* of live_drain(): one second */

int session_drain(struct session *s, bool all)
{
	int rc = 1;

	for (int turn = 0; rc > 0 && (all || turn < LOOK_TURNS); turn++)
		rc = live_drain(s->live, session_on_event, s);
	return rc < 0 ? rc : 0;
}

/* Drains the ring, so that every line seen so far is known, then sums the ledger up. */
int session_look(struct session *s, bool report, bool last)
{
	bool idle_too = s->gc.always;
	struct snapshot_filter filter = { .older_ms = s->cfg.older_ms, .min_size = s->cfg.min_size,
					  .max_size = s->cfg.max_size };
	struct snapshot snap;
	int rc = session_drain(s, last);

	if (last)
		follow_end(s);
	s->gc.always = true; /* a look is at what is, also of states that seem idle */
	session_poll_gc(s);
	s->gc.always = idle_too;
	if (!rc)
		rc = snapshot_take(s->live, &filter, &s->gc, &snap);
	if (rc)
		return rc;
	session_follow_c_heap(s);
	rc = session_meet_states(s, &snap);
	if (!rc)
		rc = session_read_kinds(s, &snap);
	if (!rc)
		rc = heap_apply(&s->heap, &snap);
	if (!rc)
		session_memory_look(s, report);
	if (!rc)
		rc = session_sample_look(s);
	if (!rc)
		session_confirm_look(s, &snap, last);
	if (!rc)
		session_find_look(s, &snap, last);
	if (!rc && last)
		rc = session_sum_up(s, &snap);
	if (!rc)
		rc = sinks_look(s, &snap, report, last);
	if (!rc && !last)
		rc = session_retire(s, &snap);
	snapshot_deinit(&snap);
	return rc;
}

static void say_started(const struct session *s)
{
	unsigned int probes = attach_probe_count(s->attach);
	struct fmtbuf b;

	log_info("tracing %s with %u probes (%s), %s after the start; %s",
		 s->cfg.command ? "the command" : s->targets.all.n == 1 ? "the process" : "the processes",
		 probes,
		 attach_method(s->attach),
		 fmt_seconds(&b, clock_ns(CLOCK_MONOTONIC) - s->clock.start_ns),
		 s->cfg.duration_s > 0 ? "wait, or Ctrl-C" : "Ctrl-C ends it");
	vec_each(t, &s->targets.all)
		vec_each(spot, &t->plan->blind_spots)
			log_info("not seen: %s", *spot);
}

static int finish(struct session *s, int rc, struct errmsg *err)
{
	int end;

	attach_set_active(s->attach, false);
	end = sinks_before_end(s, rc || s->write_errno);
	rc = rc ? rc : end;
	if (!rc && !s->write_errno)
		rc = session_look(s, true, true);
	attach_detach(s->attach);
	launch_go(s);
	if (rc)
		return errmsg_set(err, rc, "the trace broke off: %s", strerror(-rc));
	/* A reader that has seen enough closes the pipe; that is not a failure. */
	if (s->write_errno && s->write_errno != EPIPE)
		return errmsg_set(err, -EIO, "cannot write the report: %s",
				  strerror(s->write_errno));
	return sinks_close(s, err);
}

int session_trace(struct session *s, struct errmsg *err)
{
	struct loop l = LOOP_CLOSED;
	int rc;

	loop_hold_signals(s);
	/*
	 * The environment can hide what newer kernels have, so that the older ways are tested too.
	 */
	feature_probe(&s->features, FEATURE_NEEDED, getenv("LUAMEMTRACE_ATTACH"));
	rc = feature_check(&s->features, err);
	if (rc)
		return rc;
	rc = sinks_open(s, err);
	if (!rc)
		rc = attach_all(s, err);
	if (rc)
		return rc;
	rc = loop_open(s, &l);
	if (rc) {
		loop_close(s, &l);
		return errmsg_set(err, rc, "cannot set up the event loop: %s", strerror(-rc));
	}
	attach_set_active(s->attach, true);
	follow_start_family(s);
	session_budget_start(s);
	say_started(s);
	rc = sinks_record(s) ? session_look(s, false, false) : 0;
	if (rc) {
		loop_close(s, &l);
		return finish(s, rc, err);
	}
	if (s->cfg.command)
		rc = launch_start(s, err);
	if (!rc)
		rc = sinks_start(s, err);
	if (!rc && loop_watch_sinks(s))
		rc = errmsg_set(err, -errno, "cannot set up the event loop: %s", strerror(errno));
	if (rc) {
		loop_close(s, &l);
		return rc;
	}
	privileges_drop(s); /* the command has its own by now */
	rc = loop_run(s, &l);
	loop_close(s, &l);
	return finish(s, rc, err);
}
