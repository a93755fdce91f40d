/* SPDX-License-Identifier: MIT */
/*
 * creators: the places in a program that make lua_States, and how many each has made. L5 correlate.
 * Pure. Counted by calls of lua_newstate() and lua_close(), which are seen in every mode.
 */
#ifndef LMT_HEAP_CREATORS_H
#define LMT_HEAP_CREATORS_H

#include <stdint.h>
#include <sys/types.h>

#include "base/vec.h"
#include "collect/pace.h"

/* One process' place; number 0 stands for places that are not known. */
struct creator {
	pid_t pid;
	uint32_t number;
	uint64_t born;
	uint64_t first_ns, last_ns; /* CLOCK_MONOTONIC, of a birth */
	uint32_t function, module;  /* in the string pool; 0 unknown */
	uint32_t stack;             /* id in the session's stackdb; 0 unknown */
};

/* One process: its states all together, for a closing does not tell who made the state. */
struct creator_process {
	pid_t pid;
	uint64_t born, closed, first_ns;
	struct pace pace; /* work: born; old_frees: closed; ms since first_ns */
};

struct creators {
	vec_of(struct creator) v;
	vec_of(struct creator_process) processes;
};

void creators_deinit(struct creators *c);

/* The place, made if need be; NULL: -ENOMEM. */
struct creator *creators_get(struct creators *c, pid_t pid, uint32_t number);

/* A state is being made, or closed. 0 or -ENOMEM. */
int creators_born(struct creators *c, pid_t pid, uint32_t number, uint64_t now_ns);
int creators_closed(struct creators *c, pid_t pid);

/* Once a look: what there is by now. */
void creators_look(struct creators *c, uint64_t now_ns);

#endif
