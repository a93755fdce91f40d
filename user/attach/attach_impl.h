/* SPDX-License-Identifier: MIT */
/*
 * attach_impl: what attach.c and links.c share. Private to this folder.
 * L3 attach.
 */
#ifndef LMT_ATTACH_IMPL_H
#define LMT_ATTACH_IMPL_H

#include "attach.h"
#include "config.h"
#include "luamemtrace.skel.h"

#define MAX_SITES_IN_LINK 256

/* The sites of one program in one file, for one process or (slot and pid 0) for all. */
struct batch {
	enum plan_program program;
	const struct file *file;
	int slot;
	pid_t pid;
	uint64_t offsets[MAX_SITES_IN_LINK];
	uint64_t cookies[MAX_SITES_IN_LINK];
	size_t n;
};

/* slot 0: of all processes. */
struct link {
	int fd, slot;
	enum plan_program program; /* some are taken off between windows, or where they cost too much */
	const struct file *file;
};

/* A place that has its probe, and the probe's row. */
struct probed {
	const struct file *file;
	uint64_t offset;
	enum plan_program program;
	int slot;
	uint32_t row;
};

struct attach {
	struct skel *skel;
	enum feature_way way; /* by which the programs were loaded */
	struct attach_maps maps;
	vec_of(struct link) links;
	vec_of(struct probed) probed;
	vec_of(struct batch *) alloc_batches; /* to place the probes on allocators again */
	bool paused;
	bool dropped[PLAN_PROGRAMS]; /* turned out not to be rare */
	vec_of(uint32_t) free_rows; /* of probes that were taken off */
	struct lmt_callsite *callsites; /* the map itself */
	uint32_t without; /* as in struct attach_config */
	bool system_wide;
	vec_of(const struct layout *) layouts; /* BPF index - 1; 0 is "unknown" */
	uint32_t n_probes;
	uint32_t process_state[LMT_SLOT_MAX];
	pid_t pids[LMT_SLOT_MAX]; /* by slot; 0: free */
	int n_slots;  /* in use */
	int next_slot;
};

/* Index of the layout in the BPF table; 0 when there is none or no room. */
uint32_t attach_layout_index(struct attach *a, const struct layout *l);

/* Takes the probes of one process off, or of one file (NULL: any); links.c. */
void attach_take_off(struct attach *a, int slot, const struct file *file);

/* Puts the allocator's program onto a place of /proc/self/exe; 0 or a negative errno. links.c. */
int attach_own(struct attach *a, uint64_t offset);

#endif
