/* SPDX-License-Identifier: MIT */
/*
 * heap: what is known of the traced heaps: states, sites, totals; built up from snapshots.
 * L5 correlate. Pure: never reads a target.
 */
#ifndef LMT_HEAP_HEAP_H
#define LMT_HEAP_HEAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/hashmap.h"
#include "base/vec.h"
#include "collect/frames.h"
#include "collect/kind.h"
#include "collect/snapshot.h"
#include "creators.h"
#include "stacks.h"
#include "survival.h"
#include "verdict.h"

/* Two looks at a state between which nothing happened agree exactly, or something is wrong. */
struct heap_balance {
	uint64_t events;   /* calls seen at the look before */
	uint64_t vm_bytes; /* as the VM said then */
	int64_t base;      /* VM minus ledger at the first quiet look: what predates us */
	bool based;
};

/* One lua_State, or what its process could not charge to any (number 0). */
struct heap_state {
	uint32_t index;   /* in the BPF table */
	uint32_t number;  /* for people; 0: process-wide */
	pid_t pid;
	uint32_t runtime; /* id in its process; 0 unknown */
	const struct lmt_layout *layout; /* NULL for number 0 */
	bool before_attach;
	bool heap_known;
	uint64_t heap_bytes;      /* latest the VM said */
	uint64_t heap_at_attach;  /* predates us */
	uint32_t gc_cycles;
	bool rare;                /* the collector hardly runs; see collect/gc_stall.h, also for: */
	uint32_t turns, censuses;
	struct lmt_state st;      /* latest counters */
	uint64_t live_bytes, live_blocks;
	struct age_window age;
	uint64_t seen_events, seen_bytes; /* at the latest look: calls, heap */
	uint64_t active_ns;               /* when that had changed last */
	uint64_t first_ns; /* when it was born, else first looked at; 1: before that began */
	bool closed;
	bool reported_closed;     /* shown once already */
	uint64_t trace_blocks, most_trace_blocks; /* LuaJIT: live traces made since the attach */
	uint64_t seen_ns, traces_grew_ns; /* first looked at; when they were last more than ever */
	bool ended; /* gone from the BPF tables: these are its last figures */
	struct heap_balance balance;
	uint32_t label;           /* in the string pool: what its program calls it; 0 unknown */
	uint32_t label_tries;     /* how often it was asked for */
	uint64_t label_next_ns;
	bool summed_up;           /* many closed states in one; pid 0 */
	uint32_t sites;           /* position + 1 of the first in heap.sites; 0 none */
};

/* One place in the Lua code, one kind of block, one state. */
struct heap_site {
	uint32_t state;      /* position in heap.states */
	enum block_kind kind;
	struct frame frame;  /* where 0: no Lua frame known */
	bool below;          /* a C or built-in function lies above the frame */
	uint64_t live_bytes, live_blocks, old_bytes;
	uint64_t peak_bytes; /* the most that was live in a snapshot */
	uint64_t allocs, alloc_bytes;
	uint64_t reallocs; /* times a block grew there */
	uint64_t c_ip;       /* KIND_C_HEAP: where the C code that took it goes on */
	uint32_t c_site;    /* one of its BPF sites */
	/* the C function, and its module, in the string pool; 0 not looked up yet */
	uint32_t c_function;
	uint32_t c_module;
	uint32_t survived_cycles;
	struct cohorts old;
	struct births alive;
	struct survival survival;     /* where the ledger is whole */
	struct survival_answer says;
	enum verdict verdict;
	/* since when it is one, or nearly; 0: it is none. For detect_leak.c */
	uint64_t leaks_since_ns;
	double growth_bytes_per_s;
	/* of live_bytes where they are an estimate from windows, 95 % confidence */
	double error_pct;
	struct trend trend;
	uint64_t id;      /* positions are used again, ids are not */
	uint32_t next;    /* of the same state: position + 1; 0 ends */
	uint32_t example; /* stack of its first allocation; 0 unknown */
	uint32_t stacks;  /* position + 1 of the first in heap.stacks; 0 none */
	/* who holds its objects: an EVIDENCE_PATH in the string pool; 0 unknown */
	uint32_t holder;
	uint32_t container;  /* what of that way holds ever more, a string id; see detect_leak.c */
	uint32_t container_entries; /* objects in it, when a census looked; 0: few, or not known */
	uint64_t cause;      /* under which it was reported; 0: it was not */
	uint32_t confirms;   /* times a census was asked for that */
};

/* States that ended, oldest first, and what happens when there are too many; see closed.c. */
struct heap_closed {
	uint32_t max_states; /* 0: no limit */
	vec_of(uint32_t) queue;      /* positions of states */
	size_t first, first_site;    /* in queue: the oldest with a record, with sites of its own */
	size_t n_sites;              /* of those that have sites */
	vec_of(uint32_t) free_states, free_sites, free_stacks; /* positions */
	uint32_t sum;                /* position + 1 of the state that they are summed up in */
};

struct heap {
	vec_of(struct heap_state) states;
	struct hashmap state_by_index; /* BPF index → position + 1 */
	vec_of(struct heap_site) sites;
	struct hashmap site_by_key;    /* (state, kind, where, below) → position + 1 */
	struct hashmap frame_by_site;  /* BPF site index → position + 1 in frames */
	vec_of(struct frame) frames;
	vec_of(uint64_t) free_frames;  /* positions + 1 in frames */
	struct hashmap kind_by_site;   /* BPF site index → kind told by live blocks; how often */
	struct heap_stacks stacks;
	uint64_t now_ns; /* of the latest snapshot */
	uint64_t now_ms; /* …since the start of the trace */
	uint32_t next_number;
	uint64_t next_site;
	struct heap_closed closed;
	struct creators creators;
};

void heap_deinit(struct heap *h);

/*
 * A state came into view. layout NULL: the entry that counts for the process. Its position, or a
 * negative errno.
 */
int heap_add_state(struct heap *h, uint32_t index, pid_t pid, uint32_t runtime,
		   const struct lmt_layout *layout, bool before_attach);

/* The state of a BPF index, or NULL. Borrowed until the next heap_add_state(). */
struct heap_state *heap_find_state(struct heap *h, uint32_t index);

/*
 * The state's process ended, or the state was closed and left nothing: what is known of it stays as
 * it is, and its index may come back as that of another state. 0 or -ENOMEM.
 */
int heap_end_state(struct heap *h, uint32_t index);

/* For heap.c: a state ended; the oldest such may be summed up now. */
int heap_closed_add(struct heap *h, uint32_t state);
void heap_closed_deinit(struct heap_closed *c);
/*
 * For heap.c and closed.c: the site of these properties, made if need be; its position + 1, 0:
 * -ENOMEM. c_ip: KIND_C_HEAP, else 0.
 */
uint32_t heap_site_at(struct heap *h, uint32_t state, enum block_kind kind, struct frame f,
		      bool below, uint64_t c_ip);
uint64_t heap_site_key(const struct heap_site *s);

/* Of the collector, or what stands in for them. */
static inline uint32_t heap_cycles(const struct heap_state *s)
{
	return s->gc_cycles + s->turns;
}

/* The site's index may come back as that of another one. */
void heap_forget_site(struct heap *h, uint32_t site);

#define HEAP_IDLE_NS 5000000000ull

/* Does the state run, now and then? Nothing is its collector's fault if it does not. */
static inline bool heap_is_active(const struct heap *h, const struct heap_state *s)
{
	return h->now_ns < s->active_ns + HEAP_IDLE_NS;
}

/* What the VM says of its heap. */
void heap_set_gc(struct heap *h, uint32_t index, uint64_t heap_bytes, uint32_t gc_cycles);

/*
 * While a state that predates us has not called its allocator yet: its total is what to count
 * from.
 */
void heap_set_base(struct heap *h, uint32_t index, uint64_t events);

/* The line of a BPF site, resolved while the target lived. 0 or -ENOMEM. */
int heap_set_frame(struct heap *h, uint32_t site, const struct frame *frame);
/* False also when it could not be read. */
bool heap_has_frame(const struct heap *h, uint32_t site);

/*
 * Blocks of a site whose tag does not tell: what one of them was seen to be. The first object seen
 * names the site, for memory that objects own is allocated at the same place.
 */
int heap_set_kind(struct heap *h, uint32_t site, enum block_kind kind);
bool heap_needs_kind(struct heap *h, const struct snapshot_site *site);
/* What the blocks of a BPF site with this tag are, as far as it is known. */
enum block_kind heap_kind(const struct heap *h, const struct heap_state *st, uint32_t site,
			  uint32_t tag);
/* The line of a BPF site; where 0: not known. */
struct frame heap_get_frame(const struct heap *h, uint32_t site);

/* Takes a snapshot in: sites of the same line and kind become one, trends move on. */
int heap_apply(struct heap *h, const struct snapshot *snap);

/* Breaks off with BUG() unless sums over sites and states agree; for tests. */
void heap_check(const struct heap *h);

#endif
