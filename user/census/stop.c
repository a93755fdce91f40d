/* SPDX-License-Identifier: MIT */
#include "stop.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/vec.h"
#include "discover/task.h"

#define FIRST_WAIT_NS 400000000ull /* for the first thread to halt: until then nothing is stopped */
#define MAX_ROUNDS 16            /* threads may start threads while they are being stopped */

/* What goes over the socket. */
struct request {
	uint64_t max_ns; /* 0: resume */
};
struct answer {
	int rc;          /* of a stop; of a resume: 0 held, -ETIME it ended by itself */
	uint64_t held_ns; /* since the first thread halted */
};

struct held {
	pid_t tid;
	bool stopped;
	int sig; /* to be delivered when it goes on */
};

struct holder {
	pid_t target;
	vec_of(struct held) threads;
	uint64_t since_ns; /* the first of them halted; 0: none has */
};

static void release(struct holder *h)
{
	vec_each(t, &h->threads)
		if (t->stopped)
			ptrace(PTRACE_DETACH, t->tid, 0, (void *)(uintptr_t)t->sig);
	h->threads.n = 0;
}

static bool is_held(const struct holder *h, pid_t tid)
{
	vec_each(t, &h->threads)
		if (t->tid == tid)
			return true;
	return false;
}

/* 1: seized, 0: it ended meanwhile, else why not. */
static int seize(struct holder *h, pid_t tid)
{
	struct task t;

	if (ptrace(PTRACE_SEIZE, tid, 0, 0)) {
		int e = errno;

		if (e == ESRCH || !task_read(h->target, tid, &t))
			return 0;
		return e == EPERM && t.tracer ? -EBUSY : -e;
	}
	if (vec_push(&h->threads, (struct held){ .tid = tid }))
		return -ENOMEM; /* not stopped: our end, which follows, lets go of it */
	return ptrace(PTRACE_INTERRUPT, tid, 0, 0) && errno != ESRCH ? -errno : 1;
}

/* Seizes the threads that are not held yet; how many, or why not. */
static int seize_new(struct holder *h)
{
	task_list tasks = { 0 };
	int rc = task_read_all(h->target, &tasks), found = 0;

	vec_each(t, &tasks) {
		if (rc < 0)
			break;
		rc = is_held(h, t->tid) ? 0 : seize(h, t->tid);
		found += rc > 0;
	}
	vec_deinit(&tasks);
	return rc < 0 ? rc : found;
}

/*
 * Has the thread halted? The status is looked at without being taken (WNOWAIT): a signal that was
 * on its way stays with the thread, and arrives even if we are killed in this very moment.
 */
static int look_at(struct held *t)
{
	siginfo_t si = { 0 };

	if (waitid(P_PID, (id_t)t->tid, &si, WSTOPPED | WEXITED | WNOHANG | WNOWAIT | __WALL))
		return -errno;
	if (!si.si_pid)
		return 0;
	if (si.si_code != CLD_TRAPPED && si.si_code != CLD_STOPPED)
		return -ESRCH; /* it ended */
	t->stopped = true;
	/* Our own interruption and a job-control stop have an event above the signal's number. */
	t->sig = si.si_status >> 8 ? 0 : si.si_status & 0x7f;
	return 1;
}

/* Where others want the processors too, a thread takes its time to halt: half of what there is. */
static bool waited_enough(const struct holder *h, uint64_t asked_ns, uint64_t max_ns)
{
	return clock_ns(CLOCK_MONOTONIC) > (h->since_ns ? h->since_ns + max_ns / 2 : asked_ns + FIRST_WAIT_NS);
}

static int wait_halted(struct holder *h, uint64_t asked_ns, uint64_t max_ns)
{
	for (size_t i = 0; i < h->threads.n;) {
		struct held *t = &h->threads.v[i];
		int rc = t->stopped ? 1 : look_at(t);

		if (rc == -ESRCH || rc == -ECHILD)
			h->threads.v[i] = h->threads.v[--h->threads.n];
		else if (rc > 0)
			i++, h->since_ns = h->since_ns ? h->since_ns : clock_ns(CLOCK_MONOTONIC);
		else if (rc < 0 || waited_enough(h, asked_ns, max_ns))
			return rc < 0 ? rc : -EAGAIN;
		else
			nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
	}
	return h->threads.n ? 0 : -ESRCH;
}

static int stop_all(struct holder *h, uint64_t max_ns)
{
	uint64_t asked_ns = clock_ns(CLOCK_MONOTONIC);
	int rc = 0, n = 1;

	h->since_ns = 0;
	for (int i = 0; i < MAX_ROUNDS && !rc && n > 0; i++) {
		n = seize_new(h);
		rc = n < 0 ? n : wait_halted(h, asked_ns, max_ns);
	}
	return rc ? rc : n > 0 ? -EAGAIN : 0;
}

/* Holds until told to let go or the time is over. False: the other side is gone. */
static bool hold(struct holder *h, int fd, uint64_t max_ns)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t past = clock_ns(CLOCK_MONOTONIC) - h->since_ns, left = max_ns > past ? max_ns - past : 0;
	struct timespec ts = { (time_t)(left / 1000000000u), (long)(left % 1000000000u) };
	struct answer a = { 0 };
	struct request r;
	bool in_time = ppoll(&p, 1, &ts, NULL) > 0;

	release(h);
	a.held_ns = clock_ns(CLOCK_MONOTONIC) - h->since_ns;
	a.rc = in_time ? 0 : -ETIME;
	return recv(fd, &r, sizeof(r), 0) == sizeof(r) && send(fd, &a, sizeof(a), 0) == sizeof(a);
}

static void __attribute__((noreturn)) holder_main(pid_t target, int fd)
{
	struct holder h = { .target = target };
	struct request r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "lmt-hold");
	sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){ .sched_priority = 2 });
	setsid(); /* Ctrl-C and Ctrl-Z are for the one that asked; this one must keep its time */
	while (recv(fd, &r, sizeof(r), 0) == sizeof(r)) {
		struct answer a = { .rc = stop_all(&h, r.max_ns) };

		a.held_ns = h.since_ns ? clock_ns(CLOCK_MONOTONIC) - h.since_ns : 0;
		if (a.rc)
			release(&h);
		if (send(fd, &a, sizeof(a), MSG_NOSIGNAL) != sizeof(a) || a.rc ||
		    !hold(&h, fd, r.max_ns))
			break;
	}
	/* A thread that was seized but has not halted is let go by our end alone. */
	release(&h);
	_exit(0);
}

int stopper_start(struct stopper *s, pid_t target, struct errmsg *err)
{
	int fd[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd))
		return errmsg_set(err, -errno, "cannot make a socket: %s", strerror(errno));
	pid = fork();
	if (pid == 0) {
		close(fd[0]);
		holder_main(target, fd[1]);
	}
	close(fd[1]);
	if (pid < 0) {
		close(fd[0]);
		return errmsg_set(err, -errno, "cannot fork: %s", strerror(errno));
	}
	*s = (struct stopper){ .pid = pid, .fd = fd[0] };
	return 0;
}

void stopper_end(struct stopper *s)
{
	if (!s->pid)
		return;
	close(s->fd);
	while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
		;
	*s = (struct stopper){ 0 };
}

int stopper_stop(struct stopper *s, uint64_t max_ns, struct errmsg *err)
{
	struct request r = { .max_ns = max_ns ? max_ns : 1 };
	struct answer a;

	if (send(s->fd, &r, sizeof(r), MSG_NOSIGNAL) != sizeof(r) ||
	    recv(s->fd, &a, sizeof(a), 0) != sizeof(a))
		a.rc = -ECHILD;
	if (!a.rc) {
		s->spent_ns = a.held_ns;
		return 0;
	}
	stopper_end(s);
	switch (-a.rc) {
	case EBUSY:
		return errmsg_set(err, -EBUSY, "another program traces it (a debugger?)");
	case ECHILD:
	case EAGAIN:
		return errmsg_set(err, -EBUSY, "it cannot be stopped just now");
	case ESRCH:
		return errmsg_set(err, -ESRCH, "it has ended");
	default:
		return errmsg_set(err, a.rc, "it may not be stopped: %s", strerror(-a.rc));
	}
}

bool stopper_resume(struct stopper *s, uint64_t *held_ns_ret)
{
	struct request r = { 0 };
	struct answer a;

	if (send(s->fd, &r, sizeof(r), MSG_NOSIGNAL) != sizeof(r) ||
	    recv(s->fd, &a, sizeof(a), 0) != sizeof(a)) {
		stopper_end(s);
		return false;
	}
	*held_ns_ret = a.held_ns;
	return a.rc == 0;
}
