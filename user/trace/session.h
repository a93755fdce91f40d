/* SPDX-License-Identifier: MIT */
/*
 * session: one trace from start to end: wires the stages, owns every object, runs the one loop.
 * L8 trace.
 */
#ifndef LMT_TRACE_SESSION_H
#define LMT_TRACE_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#include "attach/attach.h"
#include "attach/plan.h"
#include "base/strpool.h"
#include "budget.h"
#include "collect/gcpoll.h"
#include "collect/live.h"
#include "collect/native_stack.h"
#include "collect/stackdb.h"
#include "config.h"
#include "heap/detect.h"
#include "heap/estimate.h"
#include "heap/heap.h"
#include "past.h"
#include "resolve/runtime.h"
#include "sink.h"

/* Copies for the lines of sites whose target may be gone; the latest few. */
#define SESSION_COPIES 16
/* C stacks whose Lua side is still in the ring: at most one a thread that runs. */
#define SESSION_NATIVES 32

/* A C function whose arguments are looked at. */
struct session_watch {
	uint32_t probe; /* index of its probe */
	uint32_t name;  /* in the string pool */
};

/* One traced process. */
struct session_target {
	struct target *target;
	struct memread mem;
	struct resolved *resolved;
	struct plan *plan;
	int slot;   /* of the BPF side; 0: none yet */
	int pid_fd; /* readable when the process has ended */
	int exit_status; /* once ended, as wait() says; -1 unknown */
	bool ended;   /* or runs another program now */
	bool execed;
	bool retired; /* its last figures are in the heap, its slot was given back */
	bool held;    /* we started it: it waits for our probes at each step */
	bool reported;            /* JSON: its process record is out */
	size_t reported_runtimes; /* …and so many of its runtime records */
	uint64_t library_kib; /* mapped code; a change tells of dlopen() */
	bool ffi_seen;
	bool c_heap_done; /* its malloc() was looked for */
	bool plain_frees;  /* memory of a closed state was given back past the allocators we probe */
	bool unjoined;     /* it was said that a census could not be taken in mid-trace */
	bool missed_calls; /* an allocator was called before it got its probe, or has none */
	vec_of(struct session_watch) watched;
};

/* A process that may become a target; see follow.c. */
struct candidate {
	pid_t pid;
	char comm[16];  /* when it ran another program; "" not known */
	uint64_t due_ns;
	unsigned int tries;
	bool once;      /* a child of a target: looked at soon, then forgotten */
	bool likely;    /* its program, or its parent, is known to run Lua */
	bool looked_at; /* while it lived, at what it had mapped by then */
	bool seen;
};

/* Processes of one name that ended before they could be looked at. */
struct unseen {
	char comm[16];
	bool likely;
	uint64_t n;
};

struct follow {
	vec_of(struct candidate) list;
	struct hashmap by_pid; /* pid → position + 1 */
	unsigned int n_likely; /* in the list: looked at in haste */
	uint64_t next_sweep_ns;
	vec_of(struct unseen) unseen;
};

/* See session_budget.c. */
struct session_cost {
	struct budget budget;
	struct estimate estimate;
	bool windows; /* some calls were not seen */
	uint64_t stretch_ms; /* up to which births in a whole ledger were sampled; 0: not yet */
	unsigned int ticks;
	struct session_rare {
		uint64_t hits, at_ns; /* when it was last looked at */
		bool off;
	} rare[PLAN_PROGRAMS]; /* probes of which it is not sure that they are rarely hit */
	int stats_fd; /* while the kernel counts runs, else -1 */
	uint64_t runs, run_ns; /* when it began to */
	uint64_t last_events, lost_events, last_cpu, lost_cpu, last_wait, lost_wait;
};

enum session_end { SESSION_RUNNING, SESSION_SIGNAL, SESSION_DURATION, SESSION_COUNT, SESSION_TARGETS };

struct session {
	struct trace_config cfg;
	struct files files;
	uint64_t next_rest_ns; /* of files that nobody asks of any more */
	struct features features;
	vec_of(struct session_target) targets; /* room for all from the start: they never move */
	struct session_target *of_slot[LMT_SLOT_MAX]; /* not of those that were retired */
	vec_of(uint32_t) retired; /* positions in targets, in order of time */
	size_t first_retired;     /* in `retired`: those before are used again */
	struct past past;         /* who was there before those that use their entries now */
	struct hashmap target_of_pid; /* → position + 1 of the latest */
	struct follow follow;
	pid_t child;  /* the command we started, or 0 */
	pid_t guard;  /* lets the command go on should we die, or 0 */
	int guard_pipe;
	struct rlimit descriptors; /* as we found it, for the command */
	int epoll_fd; /* of the loop, -1 before it */
	struct attach *attach;
	struct live *live;
	struct gcpoll gc;
	struct session_cost cost;
	uint64_t next_join_ns; /* when a census may be taken again; see session_join.c */
	struct heap heap;
	struct findings findings;
	uint64_t findings_told; /* of the last report */
	struct lmt_memory copies[SESSION_COPIES];
	unsigned int n_copies;
	struct native_stack *natives; /* SESSION_NATIVES of them, with --native */
	unsigned int n_natives;
	struct strpool *strings;
	struct stackdb stacks;
	uint64_t start_realtime_ns;
	uint64_t start_ns; /* CLOCK_MONOTONIC */
	uint64_t reports;
	uint64_t deaths, next_look_ns; /* of states since the latest look; when another may be */
	enum session_end end;
	struct trace_sink *sinks[SESSION_SINKS];
	unsigned int n_sinks;
	int write_errno; /* of a report, or 0 */
};

/*
 * Opens every process of the configuration and finds Lua in it; nothing is attached. *ret is the
 * caller's, to be given to session_free(). -ESRCH no such process or no Lua in it, -EACCES, …
 */
int session_open(const struct trace_config *cfg, struct session **ret, struct errmsg *err);
void session_free(struct session *s);

/* Attaches, runs until the end, gives what it sees to the sinks. */
int session_trace(struct session *s, struct errmsg *err);

#define SESSION_MAX_TARGETS 8192 /* ended ones included */
#define SESSION_KEEP_ENDED 1000  /* of which all is kept for the last report; see past.h */

/* targets.c: the life of one target. */
int session_open_target(struct session *s, pid_t pid, bool without_lua, struct session_target **ret,
			struct errmsg *err);
int session_watch_target(struct session *s, struct session_target *t);
int session_attach_target(struct session *s, struct session_target *t, struct errmsg *err);
/* Opens and attaches while the trace runs; what fails is told, and counted as not seen. */
struct session_target *session_add_target(struct session *s, pid_t pid, bool without_lua);
/* Has Lua, and was traced: a process that was only looked at is not reported. */
bool session_shows_target(const struct session *s, const struct session_target *t);
void session_watch_loader(struct session *s, struct session_target *t);
void session_free_target(struct session_target *t);
struct session_target *session_target_of_pid(struct session *s, pid_t pid);
/* The process ended, or runs another program. */
void session_end_target(struct session *s, struct session_target *t);
/* New libraries in a target: Lua may be among them. */
int session_rescan_target(struct session *s, struct session_target *t);
void session_watch_libraries(struct session *s);
/* session_files.c: now and then, gives up what was read of files, and files that nobody has any more. */
void session_rest_files(struct session *s);
/* Gives back what ended targets and closed states hold, once a snapshot has their last figures. */
int session_retire(struct session *s, const struct snapshot *snap);
/* Before the last report: sums up the oldest closed states beyond --max-states. */
int session_sum_up(struct session *s, const struct snapshot *snap);

/* follow.c: processes that may become targets. */
bool follow_wanted(const struct session *s); /* -a, -n, or a command */
int follow_sweep(struct session *s, struct errmsg *err); /* before the trace: all there are */
void follow_add(struct session *s, pid_t pid, uint64_t delay_ns, bool once);
/* A child of a target, which has its Lua unless it runs another program now. */
void follow_child(struct session *s, const struct session_target *parent, pid_t pid);
/* It runs another program now. */
void follow_exec(struct session *s, const struct lmt_event *e);
void follow_run(struct session *s);
#define FORK_DELAY_NS 10000000 /* most children run another program at once */
/* Until follow_run() is due, at most; -1: no haste. */
int follow_timeout_ms(const struct session *s);
/* Before the last report. */
void follow_end(struct session *s);
/* Processes that ran Lua for all we know, and ended too soon. */
uint64_t follow_unseen(const struct follow *f);
/* A sentence that names them, or those of whom nothing is known; false: none. */
bool follow_unseen_text(const struct follow *f, bool likely, char *buf, size_t size);
void follow_deinit(struct follow *f);

/* launch.c: the command behind "--", stopped before its first instruction. */
int launch_start(struct session *s, struct errmsg *err);
void launch_go(struct session *s);
void launch_on_exec(struct session *s, pid_t pid);
void launch_continue(const struct session_target *t);
void launch_reap(struct session *s);

/* For session_track.c: what happens to the targets while the trace runs. */
int session_enter_states(struct session *s, struct session_target *t);
int session_on_event(const struct lmt_event *e, void *ctx);
int session_meet_states(struct session *s, const struct snapshot *snap);
void session_poll_gc(struct session *s);
int session_read_kinds(struct session *s, const struct snapshot *snap);

/* session_watch.c: MODULE:FUNCTION gets its probe. */
int session_watch_call(struct session *s, struct session_target *t, const char *spec,
		       struct errmsg *err);
/* Why the trace ended, or NULL when that goes without saying. */
const char *session_end_reason(const struct session *s);

/*
 * Sums the ledger up, lets detectors, recorder and trends see it; with a report, if asked. 0 or a
 * negative errno.
 */
int session_look(struct session *s, bool report, bool last);

/* CLOCK_REALTIME of a CLOCK_MONOTONIC time of this session. */
uint64_t session_realtime(const struct session *s, uint64_t monotonic_ns);

#endif
