/* SPDX-License-Identifier: MIT */
/*
 * copy: an image of a target's writable memory, taken while it runs, or while it is stopped for
 * no longer than was promised. Part of the stage census. Must not know Lua.
 */
#ifndef LMT_CENSUS_COPY_H
#define LMT_CENSUS_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "discover/proc.h"
#include "image.h"
#include "resolve/memread.h"
#include "stop.h"

struct copier {
	pid_t pid;
	const struct memread *mem;
	uint64_t budget_ns;     /* longest stop; 0: never */
	struct image im;
	struct proc_maps maps;  /* as they were at the last copy */
	struct stopper stopper;

	bool still;             /* last copy: no thread ran meanwhile */
	bool stopped;           /* … because it was stopped */
	bool held;              /* … because others had stopped it, anywhere in its code */
	uint64_t pause_ns;      /* longest stop so far */
	uint64_t bytes;         /* of the last copy */
	uint64_t fill_ns;       /* what it took, of processor time */
	unsigned int stops;
};

void copier_init(struct copier *c, pid_t pid, const struct memread *mem, uint64_t budget_ns);
void copier_deinit(struct copier *c);

/* Waits a little for a moment in which all threads sleep, then copies. -ESRCH, -ENOMEM. */
int copier_take_running(struct copier *c, unsigned int wait_ms, struct errmsg *err);

/*
 * Copies from now on only what is touched between this and copier_learned(): for a process that is
 * mostly not Lua.
 */
int copier_learn(struct copier *c, struct errmsg *err);
void copier_learned(struct copier *c);

/* Resident bytes that a copy of all would hold. */
uint64_t copier_size(struct copier *c);

/* How long a stop would take, by the last copy. */
uint64_t copier_estimate_ns(const struct copier *c);

/*
 * Stops, copies, resumes. -ETIME: the budget did not suffice (the target runs again); -EBUSY and
 * the rest as stopper_stop().
 */
int copier_take_stopped(struct copier *c, struct errmsg *err);

#endif
