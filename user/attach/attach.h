/* SPDX-License-Identifier: MIT */
/*
 * attach: loads the BPF programs, fills their tables, places and removes the probes.
 * L3 attach. With collect/live.c the only user of the skeleton. Must not know reports.
 *
 * Nothing is pinned: every probe is owned by a file descriptor of this process, so the kernel
 * takes all of them off whatever way we end.
 */
#ifndef LMT_ATTACH_ATTACH_H
#define LMT_ATTACH_ATTACH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "feature.h"
#include "find.h"
#include "plan.h"
#include "resolve/runtime.h"

struct attach;

struct attach_config {
	uint64_t max_blocks; /* live blocks the ledger is sized for */
	uint32_t max_states;
	uint32_t max_sites;
	bool system_wide; /* one probe for all processes that map its file */
	bool follow_all;  /* tell of every exec in the system */
	bool c_heap;      /* malloc() is followed too */
	bool luajit;      /* LuaJIT may be among the targets: its programs take long to verify */
	bool no_storage; /* as on kernels that refuse it; for tests */
	bool floor; /* programs that do nothing: the cost of the probes alone */
	uint32_t without; /* probes that are left out, by LMT_PROBE_…; bit 0: the look at chunks */
	uint32_t max_stacks;
	uint32_t stack_depth;  /* frames, at most LMT_STACK_FRAMES */
	bool each_call;        /* tell of each allocator call */
	uint64_t sample_bytes; /* mean bytes between stacks; 0 none, 1 all */
	bool native;           /* stacks with their C side */
};

/*
 * Loads everything, by the most capable way that the kernel takes: the next one is tried where it refuses
 * the programs, and k keeps why. Nothing is attached yet. *ret is the caller's, to be given to
 * attach_free(). -EPERM for what the user lacks, -EOPNOTSUPP for what the kernel does.
 */
int attach_new(const struct attach_config *cfg, struct features *k, struct attach **ret,
	       struct errmsg *err);

/* Loads all programs this way and puts one onto our own code, for doctor; k keeps how it went. */
void attach_try(struct features *k, enum feature_way way);
/* Switches recording off, takes all probes off, frees. NULL is allowed. */
void attach_free(struct attach *a);

/*
 * Makes room for a process; its slot (≥ 1) or a negative errno. Its events come from
 * attach_publish() on: between the two its states are entered and its probes placed.
 */
int attach_add_process(struct attach *a, pid_t pid, struct errmsg *err);
int attach_publish(struct attach *a, int slot, pid_t pid, struct errmsg *err);

/* Takes a process's own probes off, forgets its code; its slot may be given away again. */
void attach_retire(struct attach *a, int slot, pid_t pid, const struct plan *p);

/* Takes off what stands in a file for all processes: nobody runs it any more. */
void attach_forget_file(struct attach *a, const struct file *file);

/* Gives the entry of a state, wiped, back for the next one. */
void attach_recycle_state(struct attach *a, uint32_t index);

/* Tells of forks and execs of a process from now on, with the flags LMT_FOLLOW_…; 0 stops it. */
int attach_follow(struct attach *a, pid_t pid, uint32_t flags);

/*
 * The map of followed processes, for a guard that outlives us; and takes processes out of it, at most
 * max, which from then on are not followed and not held any more. How many.
 */
int attach_followed_map(const struct attach *a);
size_t attach_take_followed(int map, pid_t *pids, size_t max);

/* lua_newstate() with this allocator need not wait for a probe. */
void attach_know_allocator(struct attach *a, int slot, uint64_t uaddr);

/* Execs of this program (st_dev and inode) are told as those of one that runs Lua. */
void attach_know_program(struct attach *a, uint64_t dev, uint64_t inode);

/* Enters a state that exists already; its index (≥ 1) or a negative errno. */
int attach_add_state(struct attach *a, int slot, const struct resolved_state *st, bool ud_tells,
		     bool arena);

/* Index of the state that lives at a global_State's address, 0 if none is known. */
uint32_t attach_find_state(const struct attach *a, int slot, uint64_t G);

/* Index of the entry that counts what no state of the process can be charged with. */
uint32_t attach_process_state(const struct attach *a, int slot);

/* The row behind a layout index of the BPF side; NULL for 0. */
const struct layout *attach_layout(const struct attach *a, uint32_t index);

/*
 * Places those probes of a plan in one process that do not stand there yet. Some may stand on failure:
 * attach_retire() takes them off.
 */
int attach_plan(struct attach *a, int slot, pid_t pid, const struct plan *p, struct errmsg *err);

/*
 * Places one more probe, for what was met later. The index of its row (≥ 1), 0 when it stood there
 * already, or a negative errno.
 */
int attach_site(struct attach *a, int slot, pid_t pid, const struct plan_site *site,
		struct errmsg *err);

/* Where the modules of a process lie, sorted by address. 0 or a negative errno. */
int attach_set_ranges(struct attach *a, int slot, const struct lmt_ranges *ranges);

/* From now on the header of each block that LuaJIT's allocator gets back is looked at. */
void attach_check_chunks(struct attach *a);

/* Recording on or off, at once and for all processes; the probes stay. */
void attach_set_active(struct attach *a, bool on);

/*
 * Takes the probes off the allocators and places them again: between the two the target pays
 * nothing for them. What is placed while paused waits for attach_resume(). 0 or a negative errno.
 */
void attach_pause(struct attach *a);
int attach_resume(struct attach *a);

/*
 * Hits of a program's probes, for PLAN_THROW and PLAN_FOREIGN those that told nothing, for PLAN_FFI all;
 * and takes its probes off everywhere, for good.
 */
uint64_t attach_hits(const struct attach *a, enum plan_program program);
void attach_drop(struct attach *a, enum plan_program program);

/* How often the programs on allocators ran, and how long, while that was measured. */
void attach_measure(struct attach *a, bool on);
void attach_alloc_runs(const struct attach *a, uint64_t *runs, uint64_t *ns);

/* Takes all probes off; the maps stay readable. */
void attach_detach(struct attach *a);

/* Number of probes in place, and how: "uprobe_multi session", "uprobe_multi", "perf". */
unsigned int attach_probe_count(const struct attach *a);
enum feature_way attach_way(const struct attach *a);
const char *attach_method(const struct attach *a);

/* File descriptors of the maps, for collect; owned by attach. */
struct attach_maps {
	int blocks, states, sites, stats, ring, owners, find_counts;
	uint32_t n_buckets, n_states;
	uint32_t n_sites;      /* places; behind them in the same table… */
	uint32_t n_stacks;     /* …whole stacks */
	uint64_t sample_bytes;
	uint64_t start_ns; /* CLOCK_MONOTONIC */
	const volatile uint32_t *next_state;
	volatile __u64 *now_ms; /* the BPF side's clock; whoever polls keeps it going */
};
const struct attach_maps *attach_maps(const struct attach *a);

#endif
