/* SPDX-License-Identifier: MIT */
/*
 * stop: keeps all threads of a target still for a few milliseconds. Part of the stage census; the
 * only code that touches a target other than by reading. Must not know why it is stopped.
 *
 * The threads are held by a small process of our own, not by this one. It lets go when told, when
 * the time promised is over, and when this process is gone; and should it die itself, the kernel
 * lets go (ptrace, attached by SEIZE, ends with the tracer). So the stop is bounded even if this
 * process is killed, stopped or busy freeing a large copy.
 */
#ifndef LMT_CENSUS_STOP_H
#define LMT_CENSUS_STOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct stopper {
	pid_t pid;  /* of the holding process; 0: none */
	int fd;     /* to it */
	uint64_t spent_ns; /* from the first thread's halt until all had halted */
};

/* Starts the holder. Best before this process is large. */
int stopper_start(struct stopper *s, pid_t target, struct errmsg *err);
void stopper_end(struct stopper *s);

/*
 * Stops every thread, for at most max_ns. 0, or -EBUSY (somebody traces it, or a thread cannot be
 * stopped now), -ESRCH, -EPERM; then nothing is stopped, and the holder has ended.
 */
int stopper_stop(struct stopper *s, uint64_t max_ns, struct errmsg *err);

/* Lets go. True when the stop held until now; *held_ns_ret: how long the target stood still. */
bool stopper_resume(struct stopper *s, uint64_t *held_ns_ret);

#endif
