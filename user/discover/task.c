/* SPDX-License-Identifier: MIT */
#include "task.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

static ssize_t read_file(const char *path, char *buf, size_t size)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

	buf[n > 0 ? n : 0] = '\0';
	return n;
}

/* The number after a line's name, or 0. */
static uint64_t value_of(const char *text, const char *name)
{
	const char *p = strstr(text, name);

	return p ? strtoull(p + strlen(name), NULL, 10) : 0;
}

bool task_read(pid_t pid, pid_t tid, struct task *ret)
{
	char path[64], buf[4096];
	const char *state;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", pid, tid);
	if (read_file(path, buf, sizeof(buf)) <= 0 || !(state = strstr(buf, "\nState:\t")))
		return false;
	*ret = (struct task){
		.tid = tid,
		.state = state[8],
		.tracer = (pid_t)value_of(buf, "\nTracerPid:\t"),
		.switches = value_of(buf, "\nvoluntary_ctxt_switches:\t") +
			    value_of(buf, "\nnonvoluntary_ctxt_switches:\t"),
	};
	return ret->state != 'Z' && ret->state != 'X';
}

int task_read_all(pid_t pid, task_list *ret)
{
	char path[64];
	struct dirent *e;
	struct task t;
	DIR *d;
	int rc = 0;

	ret->n = 0;
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	if (!d)
		return -ESRCH;
	while (!rc && (e = readdir(d)))
		if (isdigit((unsigned char)e->d_name[0]) && task_read(pid, atoi(e->d_name), &t))
			rc = vec_push(ret, t);
	closedir(d);
	return rc ? rc : ret->n ? 0 : -ESRCH;
}

bool task_stood_still(const task_list *before, const task_list *after)
{
	if (before->n != after->n)
		return false;
	for (size_t i = 0; i < before->n; i++) {
		const struct task *a = &before->v[i], *b = &after->v[i];

		if (a->tid != b->tid || a->switches != b->switches || a->state == 'R' ||
		    b->state == 'R')
			return false;
	}
	return true;
}

bool task_read_title(pid_t pid, char *buf, size_t size)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	n = read_file(path, buf, size);
	for (ssize_t i = 0; i + 1 < n; i++)
		if (!buf[i])
			buf[i] = ' ';
	while (n > 0 && (buf[n - 1] == ' ' || !buf[n - 1]))
		buf[--n] = '\0';
	return n > 0;
}

bool task_read_rss(pid_t pid, struct task_rss *ret)
{
	char path[64], buf[4096];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (read_file(path, buf, sizeof(buf)) <= 0)
		return false;
	*ret = (struct task_rss){
		.total = value_of(buf, "\nVmRSS:") * 1024,
		.anon = value_of(buf, "\nRssAnon:") * 1024,
		.file = value_of(buf, "\nRssFile:") * 1024,
		.shmem = value_of(buf, "\nRssShmem:") * 1024,
		.swap = value_of(buf, "\nVmSwap:") * 1024,
	};
	return ret->total != 0;
}
