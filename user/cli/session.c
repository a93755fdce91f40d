/* SPDX-License-Identifier: MIT */
#include "session.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fmt.h"
#include "base/log.h"
#include "build_report.h"
#include "report/format.h"
#include "session_budget.h"
#include "session_find.h"
#include "trigger.h"

#define GC_POLL_MS 20
#define SNAPSHOT_MS 1000   /* between looks at the trends; stretched when a look takes long */
#define RECORD_MS 3000     /* the longest between two moments of a recording */
#define LOOK_DEATHS 2000   /* …or until so many states were closed, whose entries are wanted back */
#define LOOK_SHARE 10      /* then a look may take this part of the time */
#define BLOCK_BYTES 48     /* of a typical Lua block: tables, closures, short strings */
#define GROWTH_ROOM 4      /* the ledger has room for so many times the heap found */
#define MIN_BLOCKS (1u << 20)
#define MAX_BLOCKS (16u << 20)
#define MIN_STATES (1u << 14)
#define MIN_SITES (1u << 18)
#define MAX_SITES (1u << 20)
#define STATE_SITES 32    /* of a typical state with little in it */
#define MAX_STACKS (1u << 16)

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t session_realtime(const struct session *s, uint64_t monotonic_ns)
{
	return s->start_realtime_ns + (monotonic_ns - s->start_ns);
}

void session_free(struct session *s)
{
	if (!s)
		return;
	recorder_free(s->recorder);
	live_free(s->live);
	attach_free(s->attach);
	vec_each(t, &s->targets)
		session_free_target(t);
	follow_deinit(&s->follow);
	vec_deinit(&s->targets);
	hashmap_deinit(&s->target_of_pid);
	gcpoll_deinit(&s->gc);
	findings_deinit(&s->findings);
	estimate_deinit(&s->cost.estimate);
	heap_deinit(&s->heap);
	stackdb_deinit(&s->stacks);
	exports_deinit(&s->exports);
	strpool_free(s->strings);
	files_deinit(&s->files);
	free(s);
}

int session_open(const struct options *opt, const char *command, struct session **ret,
		 struct errmsg *err)
{
	struct session *s = calloc(1, sizeof(*s));
	int rc = 0;

	if (!s || !(s->strings = strpool_new()) || !(s->findings.strings = s->strings)) {
		session_free(s);
		return errmsg_set(err, -ENOMEM, "out of memory");
	}
	s->opt = opt;
	s->heap.closed.max_states = (uint32_t)opt->max_states;
	s->command = command;
	s->start_ns = clock_ns(CLOCK_MONOTONIC);
	s->start_realtime_ns = clock_ns(CLOCK_REALTIME);
	s->epoll_fd = -1;
	s->targets.v = calloc(SESSION_MAX_TARGETS, sizeof(*s->targets.v));
	s->targets.cap = SESSION_MAX_TARGETS;
	if (!s->targets.v)
		rc = errmsg_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; !rc && i < opt->pids.n; i++) {
		rc = session_open_target(s, opt->pids.v[i], false, NULL, err);
		if (rc == -ESRCH && opt->skip_missing)
			rc = 0;
	}
	if (!rc && (opt->all || opt->name || opt->cgroup))
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

	if (s->opt->max_blocks)
		return s->opt->max_blocks;
	vec_each(t, &s->targets)
		vec_each(st, &t->resolved->states)
			bytes += st->gc.heap_bytes;
	blocks = bytes / BLOCK_BYTES * GROWTH_ROOM;
	return blocks < MIN_BLOCKS ? MIN_BLOCKS : blocks > MAX_BLOCKS ? MAX_BLOCKS : blocks;
}

static uint32_t site_count(const struct session *s)
{
	size_t n = 0;

	vec_each(t, &s->targets)
		n += t->resolved->states.n;
	n *= STATE_SITES;
	return n < MIN_SITES ? MIN_SITES : n > MAX_SITES ? MAX_SITES : (uint32_t)n;
}

static bool may_meet_luajit(const struct session *s)
{
	vec_each(t, &s->targets)
		vec_each(rt, &t->resolved->runtimes)
			if (rt->family == LMT_FAMILY_LUAJIT)
				return true;
	return follow_wanted(s) || s->opt->command;
}

static int attach_all(struct session *s, struct errmsg *err)
{
	/* Entries of closed states come back some seconds later. */
	uint32_t told = (uint32_t)s->opt->max_states;
	uint32_t entries = (told < MIN_STATES ? MIN_STATES : told) + LMT_SLOT_MAX;
	struct attach_config cfg = {
		.max_blocks = ledger_blocks(s),
		.max_states = entries,
		.max_sites = site_count(s),
		.system_wide = s->opt->all || s->opt->name || s->opt->cgroup,
		.follow_all = s->opt->all || s->opt->name || s->opt->cgroup,
		.luajit = may_meet_luajit(s),
		.c_heap = session_wants_c_heap(s),
		.floor = getenv("LUAMEMTRACE_FLOOR") != NULL, /* tests/bench */
		.max_stacks = MAX_STACKS,
		.stack_depth = (uint32_t)s->opt->stack_depth,
		.sample_bytes = s->opt->sample_bytes,
	};
	int rc = attach_new(&cfg, &s->features, &s->attach, err);

	if (!rc)
		rc = live_new(attach_maps(s->attach), &s->live, err);
	for (size_t i = 0; !rc && i < s->targets.n; i++) {
		rc = session_attach_target(s, &s->targets.v[i], err);
		if (rc == -ESRCH && follow_wanted(s)) { /* one of many ended meanwhile */
			session_end_target(s, &s->targets.v[i]);
			rc = 0;
		}
	}
	return rc;
}

/* The sources of events of the loop, by the number epoll gives back. */
enum source { SRC_SIGNAL, SRC_RING, SRC_GC, SRC_SNAPSHOT, SRC_INTERVAL, SRC_DURATION, SRC_TARGET };

struct loop {
	int signal_fd, gc_fd, snapshot_fd, interval_fd, duration_fd;
};

static int timer_every(uint64_t first_ns, uint64_t then_ns)
{
	struct itimerspec its = {
		.it_value = { (time_t)(first_ns / 1000000000u), (long)(first_ns % 1000000000u) },
		.it_interval = { (time_t)(then_ns / 1000000000u), (long)(then_ns % 1000000000u) },
	};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd >= 0)
		timerfd_settime(fd, 0, &its, NULL);
	return fd;
}

static int watch(int epoll_fd, int fd, uint64_t id)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = id };

	return fd < 0 ? 0 : epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev);
}

int session_watch_target(struct session *s, struct session_target *t)
{
	return watch(s->epoll_fd, t->pid_fd, SRC_TARGET + (uint64_t)(t - s->targets.v));
}

static int loop_open(struct session *s, struct loop *l)
{
	uint64_t interval = (uint64_t)(s->opt->interval * 1e9);
	uint64_t duration = (uint64_t)(s->opt->duration * 1e9);
	sigset_t set;
	int rc;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	if (s->recorder)
		sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	l->gc_fd = timer_every(GC_POLL_MS * 1000000ull, GC_POLL_MS * 1000000ull);
	l->snapshot_fd = timer_every(SNAPSHOT_MS * 1000000ull, SNAPSHOT_MS * 1000000ull);
	l->interval_fd = interval ? timer_every(interval, interval) : -1;
	l->duration_fd = duration ? timer_every(duration, 0) : -1;
	if (s->epoll_fd < 0 || l->signal_fd < 0 || l->gc_fd < 0 || l->snapshot_fd < 0)
		return -errno;
	rc = watch(s->epoll_fd, l->signal_fd, SRC_SIGNAL);
	rc = rc ? rc : watch(s->epoll_fd, live_fd(s->live), SRC_RING);
	rc = rc ? rc : watch(s->epoll_fd, l->gc_fd, SRC_GC);
	rc = rc ? rc : watch(s->epoll_fd, l->snapshot_fd, SRC_SNAPSHOT);
	rc = rc ? rc : watch(s->epoll_fd, l->interval_fd, SRC_INTERVAL);
	rc = rc ? rc : watch(s->epoll_fd, l->duration_fd, SRC_DURATION);
	for (size_t i = 0; !rc && i < s->targets.n; i++)
		rc = session_watch_target(s, &s->targets.v[i]);
	return rc ? -errno : 0;
}

static void loop_close(struct session *s, struct loop *l)
{
	int fds[] = { s->epoll_fd, l->signal_fd, l->gc_fd, l->snapshot_fd, l->interval_fd,
		      l->duration_fd };

	s->epoll_fd = -1;
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* How the one process ended matters: a crash is what many look for. */
static const char *targets_end(const struct session *s)
{
	static char text[128];
	char how[96];

	if (s->targets.n != 1)
		return "all processes have ended";
	exit_text(s->targets.v[0].exit_status, how, sizeof(how));
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

static int write_report(struct session *s, const struct snapshot *snap, bool last)
{
	const struct format *format = format_find(s->opt->json ? "json" : "text");
	struct format_options fo = {
		.color = !s->opt->no_color && !getenv("NO_COLOR") && isatty(STDOUT_FILENO),
		.first = s->reports == 0,
	};
	struct built_report b = { .r.last = last, .r.end_reason = last ? session_end_reason(s) : NULL };
	int rc;

	if (s->opt->no_report) {
		s->reports++;
		return 0;
	}
	rc = build_report_static(s, true, s->opt->json, &b);
	if (!rc)
		rc = build_report_live(s, snap, &b);
	if (!rc) {
		if (!exports_take_stdout(s->opt))
			format->write(&b.r, &fo, stdout);
		if (exports_report(&s->exports, s->opt, &b.r) || fflush(stdout) || ferror(stdout))
			s->write_errno = errno ? errno : EIO;
		s->reports++;
	}
	build_report_free(&b);
	return rc;
}

/* Drains the ring, so that every line seen so far is known, then sums the ledger up. */
static int look(struct session *s, bool report, bool last)
{
	bool idle_too = s->gc.always;
	struct snapshot_filter filter = { s->opt->older_ms, s->opt->min_size, s->opt->max_size };
	struct snapshot snap;
	int rc = live_drain(s->live, session_on_event, s);

	s->gc.always = true; /* a look is at what is, also of states that seem idle */
	session_poll_gc(s);
	s->gc.always = idle_too;
	if (!rc)
		rc = snapshot_take(s->live, &filter, &s->gc, &snap);
	if (rc)
		return rc;
	session_follow_c_heap(s);
	rc = session_read_kinds(s, &snap);
	if (!rc)
		rc = heap_apply(&s->heap, &snap);
	if (!rc)
		session_budget_look(s);
	if (!rc)
		session_find_look(s, &snap, last);
	if (!rc)
		rc = recorder_take(s->recorder, s, &snap, report, last);
	if (!rc && report)
		rc = write_report(s, &snap, last);
	if (!rc && !last)
		rc = session_retire(s, &snap);
	snapshot_deinit(&snap);
	return rc;
}

/*
 * Looks at the trends; a look that takes long happens less often, at most 2 % of a core. Counted is
 * our own time, not what others took from us. A recording must not miss too much, though.
 */
static int on_snapshot_timer(struct session *s, struct loop *l)
{
	uint64_t t0 = clock_ns(CLOCK_PROCESS_CPUTIME_ID), pause = SNAPSHOT_MS * 1000000ull, took;
	struct itimerspec its = { 0 };
	int rc = look(s, false, false);

	took = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - t0;
	s->next_look_ns = clock_ns(CLOCK_MONOTONIC) + took * LOOK_SHARE;
	s->deaths = 0;
	if (took * 50 > pause)
		pause = took * 50;
	if (s->recorder && pause > RECORD_MS * 1000000ull)
		pause = RECORD_MS * 1000000ull;
	its.it_value = (struct timespec){ (time_t)(pause / 1000000000u), (long)(pause % 1000000000u) };
	its.it_interval = its.it_value;
	timerfd_settime(l->snapshot_fd, 0, &its, NULL);
	return rc;
}

/* All that were given have ended, and nobody is waited for. */
static void check_end(struct session *s)
{
	bool all = !s->opt->all && !s->opt->name && !s->opt->cgroup;

	vec_each(t, &s->targets)
		all &= t->ended;
	if (all && !s->child && !s->follow.list.n && s->end == SESSION_RUNNING)
		s->end = SESSION_TARGETS;
}

/* A target that runs another program now has no Lua heap left that we know. */
static void check_execs(struct session *s)
{
	vec_each(t, &s->targets) {
		if (!t->execed || t->ended)
			continue;
		log_info("process %d runs another program now", t->target->pid);
		session_end_target(s, t);
		if (t->held)
			launch_on_exec(s, t->target->pid);
		else
			follow_add(s, t->target->pid, 0, true);
	}
}

static void swallow(int fd)
{
	uint64_t n;

	if (read(fd, &n, sizeof(n)) < 0)
		return; /* nothing there after all */
}

static void on_signal(struct session *s, int fd)
{
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGUSR1)
		recorder_mark(s->recorder, s);
	else
		s->end = SESSION_SIGNAL;
}

static int on_source(struct session *s, struct loop *l, uint64_t id)
{
	int rc = 0;

	switch (id) {
	case SRC_SIGNAL:
		on_signal(s, l->signal_fd);
		break;
	case SRC_RING:
		rc = live_drain(s->live, session_on_event, s);
		check_execs(s);
		break;
	case SRC_GC:
		swallow(l->gc_fd);
		session_poll_gc(s);
		follow_run(s);
		launch_reap(s);
		rc = session_budget_step(s);
		if (!rc && s->deaths > LOOK_DEATHS && clock_ns(CLOCK_MONOTONIC) > s->next_look_ns)
			rc = on_snapshot_timer(s, l);
		break;
	case SRC_SNAPSHOT:
		swallow(l->snapshot_fd);
		session_watch_libraries(s);
		rc = on_snapshot_timer(s, l);
		break;
	case SRC_INTERVAL:
		swallow(l->interval_fd);
		if (s->opt->count && s->reports + 1 >= s->opt->count)
			s->end = SESSION_COUNT; /* the last report is that of the end */
		else
			rc = look(s, true, false);
		break;
	case SRC_DURATION:
		s->end = SESSION_DURATION;
		break;
	default:
		session_end_target(s, &s->targets.v[id - SRC_TARGET]);
	}
	return rc;
}

static int run_loop(struct session *s, struct loop *l)
{
	int rc = 0;

	while (!rc && s->end == SESSION_RUNNING && !s->write_errno) {
		/* With the file gone there is nothing left to do, unless reports go to stdout too. */
		if (recorder_error(s->recorder) && s->opt->no_report)
			break;

		struct epoll_event ev[16];
		int n = epoll_wait(s->epoll_fd, ev, 16, -1);

		if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; !rc && i < n; i++)
			rc = on_source(s, l, ev[i].data.u64);
		check_end(s);
	}
	return rc;
}

static void say_started(const struct session *s)
{
	unsigned int probes = attach_probe_count(s->attach);
	struct fmtbuf b;

	log_info("tracing %s with %u probes (%s), %s after the start; %s",
		 s->opt->command ? "the command" : s->targets.n == 1 ? "the process" : "the processes",
		 probes,
		 attach_method(s->attach),
		 fmt_seconds(&b, clock_ns(CLOCK_MONOTONIC) - s->start_ns),
		 s->opt->duration > 0 ? "wait, or Ctrl-C" : "Ctrl-C ends it");
	vec_each(t, &s->targets)
		vec_each(spot, &t->plan->blind_spots)
			log_info("not seen: %s", *spot);
}

static int finish(struct session *s, int rc, struct errmsg *err)
{
	attach_set_active(s->attach, false);
	if (!rc && !s->write_errno)
		rc = look(s, true, true);
	attach_detach(s->attach);
	launch_go(s);
	if (rc)
		return errmsg_set(err, rc, "the trace broke off: %s", strerror(-rc));
	/* A reader that has seen enough closes the pipe; that is no failure. */
	if (s->write_errno && s->write_errno != EPIPE)
		return errmsg_set(err, -EIO, "cannot write the report: %s",
				  strerror(s->write_errno));
	return recorder_close(s->recorder, err);
}

/* The environment can hide what newer kernels have, so that the older ways are tested too. */
static void probe_features(struct session *s)
{
	const char *way = getenv("LUAMEMTRACE_ATTACH");

	feature_probe(&s->features, way && !strcmp(way, "perf") ? FEATURE_NO_MULTI : FEATURE_NEEDED);
	if (way && !strcmp(way, "multi"))
		s->features.session = false;
}

int session_trace(struct session *s, struct errmsg *err)
{
	struct loop l = { -1, -1, -1, -1, -1 };
	int rc;

	probe_features(s);
	rc = feature_check(&s->features, err);
	if (rc)
		return rc;
	rc = exports_open(&s->exports, s->opt, err);
	if (!rc)
		rc = recorder_open(s, &s->recorder, err);
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
	session_budget_start(s);
	say_started(s);
	rc = s->recorder ? look(s, false, false) : 0;
	if (rc) {
		loop_close(s, &l);
		return finish(s, rc, err);
	}
	if (s->opt->command)
		rc = launch_start(s, err);
	if (rc) {
		loop_close(s, &l);
		return rc;
	}
	rc = run_loop(s, &l);
	loop_close(s, &l);
	return finish(s, rc, err);
}
