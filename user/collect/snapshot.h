/* SPDX-License-Identifier: MIT */
/*
 * snapshot: the ledger at one moment, summed up by site and by state. A value: taken, handed on,
 * freed by whoever took it. L4 collect.
 */
#ifndef LMT_COLLECT_SNAPSHOT_H
#define LMT_COLLECT_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/vec.h"
#include "cohort.h"
#include "gcpoll.h"
#include "live.h"

/* Only blocks that pass are summed up; zero bytes pass everything. */
struct snapshot_filter {
	uint64_t older_ms;
	uint64_t since_ms; /* born since then, by live_tick() */
	uint64_t min_size, max_size; /* bytes of one block; max 0: no limit */
};

#define SNAPSHOT_SAMPLES 16

struct snapshot_site {
	uint32_t index; /* in the table of sites; 0 for blocks without a site */
	uint32_t state; /* index in the table of states */
	struct lmt_site site;
	uint64_t live_bytes, live_blocks;
	struct cohorts old;       /* blocks that are old; see cohort.h */
	struct births alive;      /* all of them */
	uint32_t survived_cycles; /* of the oldest block */
	uint64_t sample_uaddr[SNAPSHOT_SAMPLES]; /* some live blocks, 0 where there are none */
};

/*
 * A whole stack at a place, of which a part of the allocations were sampled. All numbers are
 * estimates for all of them: those of the place are exact and include them.
 */
struct snapshot_stack {
	uint32_t index; /* in the table of sites */
	uint32_t place; /* likewise */
	uint64_t samples;
	double allocs, alloc_bytes, alloc_variance;
	double live_blocks, live_bytes, live_variance;
	double temporary; /* bytes of blocks that were freed before a collection found them alive */
};

struct snapshot_state {
	uint32_t index;
	struct lmt_state st;
	uint64_t live_bytes, live_blocks; /* unfiltered */
	struct age_window age;
};

/* Blocks that a state left behind when it was closed, alike in all that tells them apart. */
struct snapshot_orphans {
	uint32_t state; /* index in the table of states */
	uint32_t site;  /* of most of them */
	uint64_t size;
	uint32_t tag, prev_tag;
	uint64_t blocks, bytes;
	uint32_t n_sample; /* so many of them are in snapshot.orphan_blocks */
	uint32_t n_free;   /* …and of those so many were freed in a way that was not seen, */
	uint32_t n_maybe;  /* so many perhaps */
	uint32_t site_votes;
};

struct snapshot_orphan {
	uint64_t uaddr;
	uint32_t group; /* position in snapshot.orphans */
};

struct snapshot {
	uint64_t start_ns, end_ns; /* CLOCK_MONOTONIC: the scan takes time and the target runs on */
	uint64_t now_ms; /* since the start of the trace, when the scan began */
	vec_of(struct snapshot_state) states;
	vec_of(struct snapshot_site) sites; /* with live blocks or allocations */
	vec_of(struct snapshot_orphans) orphans;
	vec_of(struct snapshot_orphan) orphan_blocks; /* some of each kind */
	vec_of(struct snapshot_stack) stacks;
	uint64_t live_bytes, live_blocks;
	uint64_t capacity;         /* places in the table */
	uint64_t stats[LMT_STAT_MAX];
};

/*
 * gc: which blocks are old, as last polled. -ENOMEM or 0; *ret is the caller's, to be given to
 * snapshot_deinit().
 */
int snapshot_take(const struct live *l, const struct snapshot_filter *filter,
		  const struct gcpoll *gc, struct snapshot *ret);
void snapshot_deinit(struct snapshot *s);

#endif
