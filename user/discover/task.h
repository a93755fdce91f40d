/* SPDX-License-Identifier: MIT */
/*
 * task: what /proc says about the threads of a process, and where its memory is. L1 discover.
 */
#ifndef LMT_DISCOVER_TASK_H
#define LMT_DISCOVER_TASK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/vec.h"

struct task {
	pid_t tid;
	pid_t tracer;      /* 0: nobody traces it */
	char state;        /* as in /proc/PID/status: R running, S sleeping, T stopped, … */
	uint64_t switches; /* how often it gave up its processor: grows whenever it has run */
};

typedef vec_of(struct task) task_list;

/* The threads of the process as they are now; *ret is emptied first. -ESRCH, -ENOMEM. */
int task_read_all(pid_t pid, task_list *ret);

/* False when there is no such thread, or it is a zombie. */
bool task_read(pid_t pid, pid_t tid, struct task *ret);

/*
 * True when none of the threads could run between the two looks: the same threads, all asleep or
 * stopped, and none has given up a processor in between.
 */
bool task_stood_still(const task_list *before, const task_list *after);

/* The command line, its words parted by spaces; programs write what they do there. */
bool task_read_title(pid_t pid, char *buf, size_t size);

/* Resident bytes of a process, by kind; 0 when not told. */
struct task_rss {
	uint64_t total, anon, file, shmem, swap;
};
bool task_read_rss(pid_t pid, struct task_rss *ret);

#endif
