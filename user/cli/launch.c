/* SPDX-License-Identifier: MIT */
/*
 * The command behind "--": traced from its first instruction. Its process is stopped by the BPF
 * side when it runs the command, when its dynamic loader maps libraries, and when it makes a state
 * with an allocator not met before; we place what probes are due and let it go on. Should we die
 * in between, the kernel lets it go on (PR_SET_PDEATHSIG).
 */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "block.h"

/* In the child: waits until it is followed, then becomes the command. Our stdout is for data. */
static void become(const struct session *s, int gate)
{
	sigset_t none;
	char byte;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGCONT);
	dup2(STDERR_FILENO, STDOUT_FILENO);
	if (read(gate, &byte, 1) < 0)
		_exit(126);
	close(gate);
	execvp(s->opt->command[0], s->opt->command);
	fprintf(stderr, "luamemtrace: cannot run '%s': %s\n", s->opt->command[0], strerror(errno));
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

	if (!can_run(s->opt->command[0]))
		return errmsg_set(err, -ESRCH, "cannot run '%s': no such program",
				  s->opt->command[0]);
	if (pipe2(gate, O_CLOEXEC))
		return errmsg_set(err, -errno, "cannot make a pipe: %s", strerror(errno));
	fflush(stdout);
	s->child = fork();
	if (s->child == 0) {
		close(gate[1]);
		become(s, gate[0]);
	}
	close(gate[0]);
	if (s->child < 0) {
		int rc = -errno;

		close(gate[1]);
		s->child = 0;
		return errmsg_set(err, rc, "cannot start a process: %s", strerror(-rc));
	}
	if (attach_follow(s->attach, s->child, LMT_FOLLOW | LMT_FOLLOW_HOLD))
		log_warn("the command's first instructions are not seen: %s", strerror(errno));
	close(gate[1]);
	return 0;
}

void launch_continue(const struct session_target *t)
{
	if (t->held && !t->ended)
		kill(t->target->pid, SIGCONT);
}

/* A process of ours, or one somebody may have asked for, runs another program. */
void launch_on_exec(struct session *s, pid_t pid)
{
	if (!s->opt->command) {
		follow_add(s, pid, 0, false);
		return;
	}
	session_add_target(s, pid, true);
	kill(pid, SIGCONT);
}

/* Nobody stops for us any more. */
void launch_go(struct session *s)
{
	vec_each(t, &s->targets) {
		if (!t->held || t->ended)
			continue;
		attach_follow(s->attach, t->target->pid, 0);
		kill(t->target->pid, SIGCONT);
	}
}

void launch_reap(struct session *s)
{
	if (s->child > 0 && waitpid(s->child, NULL, WNOHANG) == s->child)
		s->child = 0;
}
