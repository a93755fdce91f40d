/* SPDX-License-Identifier: MIT */
/*
 * targets: the traced processes: found, resolved, attached, watched, ended, forgotten. L8 trace.
 */
#ifndef LMT_TRACE_TARGETS_H
#define LMT_TRACE_TARGETS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "attach/plan.h"
#include "base/hashmap.h"
#include "base/vec.h"
#include "block.h"
#include "collect/snapshot.h"
#include "past.h"
#include "resolve/runtime.h"

struct session;

/* A C function whose arguments are looked at. */
struct session_watch {
	uint32_t probe; /* index of its probe */
	uint32_t name;  /* in the string pool */
};

/* A state that BPF met and that could not be looked at, or is none: when to look again. */
struct session_stranger {
	uint64_t g; /* its global_State */
	uint64_t next_ns;
	uint64_t wait_ns;
};
#define SESSION_STRANGERS 16

enum target_phase {
	TARGET_LIVES,
	TARGET_EXECED,  /* runs another program by now: it has ended once all its events are in */
	TARGET_ENDED,
	TARGET_RETIRED, /* its last figures are in the heap, its slot was given back */
};

/* One traced process. */
struct session_target {
	struct target *target;
	struct memread mem;
	struct resolved *resolved;
	struct plan *plan;
	enum target_phase phase;
	int slot;        /* of the BPF side; 0: none yet */
	int pid_fd;      /* readable when the process has ended */
	int exit_status; /* once ended, as wait() says; -1 unknown */
	uint64_t library_kib; /* mapped code; a change tells of dlopen() */
	/* JSON: how many are out, and with them the process' own record */
	size_t reported_runtimes;
	vec_of(struct session_watch) watched;
	struct session_stranger strangers[SESSION_STRANGERS]; /* by a hash of g */
	struct target_memory *memory; /* NULL: not measured yet; see session_memory.h */
	pid_t parent;      /* of the pids that were asked for, whom it descends from; 0: none */
	uint64_t ended_ns; /* CLOCK_MONOTONIC; 0: it lives */
	bool held;         /* we started it: it waits for our probes at each step */
	bool ffi_seen;     /* …and what it calls is watched */
	bool c_heap_done;  /* its malloc() was looked for */
	/* memory of a closed state was given back past the allocators we probe */
	bool plain_frees;
	bool missed_calls; /* an allocator was called before it got its probe, or has none */
	bool unconfirmed;     /* it was said that a census could not be taken in mid-trace */
};

static inline bool session_target_ended(const struct session_target *t)
{
	return t->phase >= TARGET_ENDED;
}

#define SESSION_MAX_TARGETS 8192 /* ended ones included */
#define SESSION_KEEP_ENDED 1000  /* of which all is kept for the last report; see past.h */

struct targets {
	vec_of(struct session_target) all; /* room for all from the start: they never move */
	struct session_target *of_slot[LMT_SLOT_MAX]; /* not of those that were retired */
	struct hashmap of_pid;    /* → position in `all` + 1 of the latest */
	vec_of(uint32_t) retired; /* positions in `all`, in order of time */
	size_t next_memory;       /* position % n of who is measured next; see session_memory.c */
	size_t first_retired;     /* in `retired`: those before are used again */
	struct past past;         /* who was there before those that use their entries now */
};

/* 0 or -ENOMEM. */
int targets_init(struct targets *ts);
void targets_deinit(struct targets *ts);

int session_open_target(struct session *s, pid_t pid, bool without_lua, struct session_target **ret,
			struct errmsg *err);
int session_watch_target(struct session *s, struct session_target *t);
int session_attach_target(struct session *s, struct session_target *t, struct errmsg *err);
/*
 * Opens and attaches while the trace runs; what fails is logged, unless that was said before, and
 * counted as not seen.
 */
struct session_target *session_add_target(struct session *s, pid_t pid, bool without_lua,
					  bool said);
/* Has Lua, and was traced: a process that was only looked at is not reported. */
bool session_shows_target(const struct session *s, const struct session_target *t);
void session_watch_loader(struct session *s, struct session_target *t);
struct session_target *session_target_of_pid(struct session *s, pid_t pid);
/* The process ended, or runs another program. */
void session_end_target(struct session *s, struct session_target *t);
/* New libraries in a target: Lua may be among them. */
int session_rescan_target(struct session *s, struct session_target *t);
void session_watch_libraries(struct session *s);
/* Gives back what ended targets and closed states hold, once a snapshot has their last figures. */
int session_retire(struct session *s, const struct snapshot *snap);
/* Before the last report: sums up the oldest closed states beyond --max-states. */
int session_sum_up(struct session *s, const struct snapshot *snap);

#endif
