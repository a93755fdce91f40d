/* SPDX-License-Identifier: MIT */
/*
 * The command behind "--": traced from its first instruction. Its process is stopped by the BPF
 * side when it runs the command, when its dynamic loader maps libraries, and when it makes a state
 * with an allocator not met before; we place what probes are due and let it go on. So are its
 * children. Should we die in between, a guard of ours lets them all go on: it waits for the end of
 * a pipe whose other end only we have.
 */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "block.h"
#include "session.h"

#define FAMILY 4096    /* processes let go at once */
#define GUARD_ROUNDS 20 /* a process may be on its way into a stop while we let go */

void launch_raise_descriptors(struct launch *l)
{
	struct rlimit more;

	if (getrlimit(RLIMIT_NOFILE, &l->descriptors))
		return;
	more = l->descriptors;
	more.rlim_cur = more.rlim_max;
	setrlimit(RLIMIT_NOFILE, &more);
}

static void let_go(int map)
{
	static pid_t pids[FAMILY];
	size_t n = attach_take_followed(map, pids, FAMILY);

	for (size_t i = 0; i < n; i++)
		kill(pids[i], SIGCONT);
}

/*
 * The guard: keeps nothing of ours open but the map and the pipe, or the probes would outlive us.
 */
static void guard(int map, int pipe_end)
{
	static pid_t pids[FAMILY];
	int far_map = fcntl(map, F_DUPFD, 3), far_pipe = fcntl(pipe_end, F_DUPFD, 3);
	size_t n = 0;
	char byte;

	setsid(); /* Ctrl-C is for others */
	if (dup2(far_map, 0) != 0 || dup2(far_pipe, 1) != 1)
		_exit(1);
	close_range(2, ~0u, 0);
	if (read(1, &byte, 1) == 1)
		_exit(0); /* an orderly end */
	for (int round = 0; round < GUARD_ROUNDS; round++) {
		n += attach_take_followed(0, pids + n, FAMILY - n);
		for (size_t i = 0; i < n; i++)
			kill(pids[i], SIGCONT);
		usleep(25000);
	}
	_exit(0);
}

static int start_guard(struct session *s)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	fflush(NULL);
	s->launch.guard = fork();
	if (s->launch.guard == 0) {
		close(ends[1]);
		guard(attach_followed_map(s->attach), ends[0]);
	}
	close(ends[0]);
	if (s->launch.guard < 0) {
		close(ends[1]);
		return -errno;
	}
	s->launch.guard_pipe = ends[1];
	return 0;
}

/* In the child: waits until it is followed, then becomes the command. Our stdout is for data. */
static void become(const struct session *s, int gate)
{
	sigset_t none;
	char byte;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (s->launch.descriptors.rlim_max)
		setrlimit(RLIMIT_NOFILE, &s->launch.descriptors);
	dup2(STDERR_FILENO, STDOUT_FILENO);
	if (read(gate, &byte, 1) < 0)
		_exit(126);
	close(gate);
	execvp(s->cfg.command[0], s->cfg.command);
	fprintf(stderr, "luamemtrace: cannot run '%s': %s\n", s->cfg.command[0], strerror(errno));
	_exit(127);
}

/* Is there such a program at all? Said before anything else happens. */
static bool can_run(const char *name)
{
	char path[4096];
	const char *dirs = getenv("PATH");

	if (strchr(name, '/'))
		return !access(name, X_OK);
	for (const char *d = dirs ? dirs : "/usr/bin:/bin"; d && *d;) {
		size_t n = strcspn(d, ":");

		if (snprintf(path, sizeof(path), "%.*s/%s", (int)n, n ? d : ".", name) <
			    (int)sizeof(path) && !access(path, X_OK))
			return true;
		d += n + (d[n] == ':');
	}
	return false;
}

int launch_start(struct session *s, struct errmsg *err)
{
	int gate[2];

	if (!can_run(s->cfg.command[0]))
		return errmsg_set(err, -ESRCH, "cannot run '%s': no such program",
				  s->cfg.command[0]);
	if (start_guard(s))
		return errmsg_set(err, -errno, "cannot start a process: %s", strerror(errno));
	if (pipe2(gate, O_CLOEXEC))
		return errmsg_set(err, -errno, "cannot make a pipe: %s", strerror(errno));
	fflush(stdout);
	s->launch.child = fork();
	if (s->launch.child == 0) {
		close(gate[1]);
		become(s, gate[0]);
	}
	close(gate[0]);
	if (s->launch.child < 0) {
		int rc = -errno;

		close(gate[1]);
		s->launch.child = 0;
		return errmsg_set(err, rc, "cannot start a process: %s", strerror(-rc));
	}
	if (attach_follow(s->attach, s->launch.child, LMT_FOLLOW | LMT_FOLLOW_HOLD))
		log_warn("the command's first instructions are not seen: %s", strerror(errno));
	close(gate[1]);
	return 0;
}

void launch_continue(const struct session_target *t)
{
	if (t->held && !session_target_ended(t))
		kill(t->target->pid, SIGCONT);
}

/* A process of ours runs another program. */
void launch_on_exec(struct session *s, pid_t pid)
{
	session_add_target(s, pid, true, false);
	kill(pid, SIGCONT);
}

/* Nobody stops for us any more, whether we had come to know of it or not. */
void launch_go(struct session *s)
{
	if (s->launch.guard <= 0)
		return;
	let_go(attach_followed_map(s->attach));
	if (write(s->launch.guard_pipe, "", 1) == 1)
		waitpid(s->launch.guard, NULL, 0);
	close(s->launch.guard_pipe);
	s->launch.guard = 0;
}

void launch_reap(struct session *s)
{
	if (s->launch.child <= 0 ||
	    waitpid(s->launch.child, &s->launch.status, WNOHANG) != s->launch.child)
		return;
	s->launch.child = 0;
	s->launch.ended = true;
}
