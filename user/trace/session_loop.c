/* SPDX-License-Identifier: MIT */
#include "session_loop.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "session_budget.h"
#include "session_find.h"

#define GC_POLL_MS 20
#define SNAPSHOT_MS 1000   /* between looks at the trends; stretched when a look takes long */
#define RECORD_MS 3000     /* the longest between two moments of a recording */
#define LOOK_DEATHS 2000   /* …or until this many were closed: entries are wanted back */
#define LOOK_SHARE 10      /* then a look may take this part of the time */

/* The sources of events of the loop, by the number epoll gives back. */
enum source {
	SRC_SIGNAL, SRC_RING, SRC_GC, SRC_SNAPSHOT, SRC_INTERVAL, SRC_DURATION, SRC_SINK,
	SRC_TARGET = SRC_SINK + SESSION_SINKS
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
	return watch(s->epoll_fd, t->pid_fd, SRC_TARGET + (uint64_t)(t - s->targets.all.v));
}

sigset_t loop_hold_signals(const struct session *s)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	if (sinks_want_signal(s))
		sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return set;
}

int loop_open(struct session *s, struct loop *l)
{
	uint64_t interval = (uint64_t)(s->cfg.interval_s * 1e9);
	uint64_t duration = (uint64_t)(s->cfg.duration_s * 1e9);
	sigset_t set = loop_hold_signals(s);
	int rc;

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
	for (size_t i = 0; !rc && i < s->targets.all.n; i++)
		rc = session_watch_target(s, &s->targets.all.v[i]);
	return rc ? -errno : 0;
}

void loop_close(struct session *s, struct loop *l)
{
	int fds[] = { s->epoll_fd, l->signal_fd, l->gc_fd, l->snapshot_fd, l->interval_fd,
		      l->duration_fd };

	s->epoll_fd = -1;
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

int loop_watch_sinks(struct session *s)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < s->n_sinks; i++)
		rc = watch(s->epoll_fd, s->sinks[i]->fd, SRC_SINK + i);
	return rc ? -errno : 0;
}

/*
 * Looks at the trends; a look that takes long happens less often, at most 2 % of a core. Counted is
 * our own time, not what others took from us. A recording must not miss too much, though.
 */
static int on_snapshot_timer(struct session *s, struct loop *l)
{
	uint64_t t0 = clock_ns(CLOCK_PROCESS_CPUTIME_ID), pause = SNAPSHOT_MS * 1000000ull, took;
	struct itimerspec its = { 0 };
	int rc = session_look(s, false, false);

	took = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - t0;
	s->clock.next_look_ns = clock_ns(CLOCK_MONOTONIC) + took * LOOK_SHARE;
	s->clock.deaths = 0;
	if (took * 50 > pause)
		pause = took * 50;
	if (sinks_record(s) && pause > RECORD_MS * 1000000ull)
		pause = RECORD_MS * 1000000ull;
	its.it_value =
		(struct timespec){ (time_t)(pause / 1000000000u), (long)(pause % 1000000000u) };
	its.it_interval = its.it_value;
	timerfd_settime(l->snapshot_fd, 0, &its, NULL);
	return rc;
}

/* All that were given have ended, and nobody is waited for. */
static void check_end(struct session *s)
{
	bool all = !s->cfg.all && !s->cfg.name && !s->cfg.cgroup;

	vec_each(t, &s->targets.all)
		all &= session_target_ended(t);
	if (all && !s->launch.child && !follow_waits(s) && s->end == SESSION_RUNNING)
		s->end = SESSION_TARGETS;
}

/* A target that runs another program now has no Lua heap left that we know. */
static void check_execs(struct session *s)
{
	vec_each(t, &s->targets.all) {
		if (t->phase != TARGET_EXECED)
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
		sinks_on_signal(s);
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
		rc = rc < 0 ? rc : 0;
		sinks_on_drained(s);
		check_execs(s);
		session_label_states(s, clock_ns(CLOCK_MONOTONIC)); /* some are closed soon */
		if (s->follow.n_likely)
			follow_run(s);
		break;
	case SRC_GC:
		swallow(l->gc_fd);
		session_poll_gc(s);
		session_label_states(s, clock_ns(CLOCK_MONOTONIC));
		follow_run(s);
		launch_reap(s);
		sinks_tick(s);
		rc = session_budget_step(s);
		if (!rc && s->clock.deaths > LOOK_DEATHS &&
		    clock_ns(CLOCK_MONOTONIC) > s->clock.next_look_ns)
			rc = on_snapshot_timer(s, l);
		break;
	case SRC_SNAPSHOT:
		swallow(l->snapshot_fd);
		session_watch_libraries(s);
		session_rest_files(s);
		rc = on_snapshot_timer(s, l);
		break;
	case SRC_INTERVAL:
		swallow(l->interval_fd);
		if (s->cfg.count && s->reports + 1 >= s->cfg.count)
			s->end = SESSION_COUNT; /* the last report is that of the end */
		else
			rc = session_look(s, true, false);
		break;
	case SRC_DURATION:
		s->end = SESSION_DURATION;
		break;
	default:
		if (id < SRC_TARGET)
			sinks_on_ready(s, (unsigned int)(id - SRC_SINK));
		else
			session_end_target(s, &s->targets.all.v[id - SRC_TARGET]);
	}
	return rc;
}

int loop_run(struct session *s, struct loop *l)
{
	int rc = 0;

	while (!rc && s->end == SESSION_RUNNING && !s->write_errno) {
		struct epoll_event ev[16];
		int n;

		if (sinks_gave_up(s))
			break;
		n = epoll_wait(s->epoll_fd, ev, 16, follow_timeout_ms(s));
		if (n < 0 && errno != EINTR)
			return -errno;
		if (!n)
			follow_run(s);
		for (int i = 0; !rc && i < n; i++)
			rc = on_source(s, l, ev[i].data.u64);
		check_end(s);
	}
	return rc;
}
