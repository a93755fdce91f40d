/* SPDX-License-Identifier: MIT */
/*
 * resident: what the resident memory of a process is mapped for. L1 discover. Must not know Lua.
 */
#ifndef LMT_DISCOVER_RESIDENT_H
#define LMT_DISCOVER_RESIDENT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "proc.h"

/* What a mapping is for. */
enum resident_use {
	RESIDENT_HEAP,         /* private, of no file: heaps, and the stacks of threads */
	RESIDENT_MACHINE_CODE, /* the same, and executable */
	RESIDENT_STACK,        /* of the main thread */
	RESIDENT_DATA,         /* written parts of programs and libraries */
	RESIDENT_FILE,         /* their code, and other files */
	RESIDENT_SHARED,       /* shared memory */
	RESIDENT_MAX
};

enum resident_use resident_use_of(const struct proc_map *m);

/* The kernel's own pages, mapped into every process, are in nobody's count. */
bool resident_counts(const struct proc_map *m);

/* A private mapping that a malloc() may keep its chunks in. */
struct resident_heap {
	uint64_t start, end; /* target addresses */
	uint64_t bytes;      /* resident */
	bool brk;            /* the program's break, "[heap]" */
};

struct resident {
	uint64_t total;               /* bytes: the sum of the parts */
	uint64_t bytes[RESIDENT_MAX]; /* resident bytes by use */
	vec_of(struct resident_heap) heaps;
	bool whole;                   /* false: it has more mappings; the rest is not in here */
};

void resident_deinit(struct resident *r);

#define RESIDENT_MAPPINGS 20000 /* that are looked at */

/*
 * Reads /proc/PID/smaps: the target is not stopped, the kernel walks its page tables. 0, -ESRCH,
 * -EACCES or -ENOMEM; *ret is emptied first.
 */
int resident_read(pid_t pid, struct resident *ret);

/* The same from an open file, for tests. */
int resident_parse(FILE *smaps, struct resident *ret);

#endif
