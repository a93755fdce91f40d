/* SPDX-License-Identifier: MIT */
/*
 * model: all that a report says, ready to be printed in any format. L6 report.
 *
 * Immutable once built; strings are borrowed from whoever built it and not yet escaped. What is
 * unknown is NULL, 0 or has its flag off, and is left out by the formats.
 */
#ifndef LMT_REPORT_MODEL_H
#define LMT_REPORT_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/vec.h"
#include "discover/headroom.h"
#include "heap/detect.h"
#include "heap/memory.h"
#include "heap/verdict.h"
#include "stat.h"

struct report_function {
	const char *name;
	const char *how;         /* method, and what agrees with it */
	uint64_t offset;         /* in the file; 0 with why_not: not found */
	bool placed;
	uint64_t site_offset;
	const char *insn;
	bool emulated;
	bool probed;
	const char *why_not;
};

struct report_runtime {
	pid_t pid;
	uint32_t runtime;
	const char *family, *version, *variant, *module, *build_id, *layout, *evidence;
	const char *title; /* "Lua 5.4.4" */
	const struct known_bug *bug; /* published, and in this very copy; NULL: none known */
	bool bug_certain;
	vec_of(struct report_function) functions;
};

/* Where the resident memory of a process is; the parts add up to it. */
struct report_memory {
	bool known, free_known, growth_known;
	struct memory_point now;
	double growth[MEMORY_MAX + 1]; /* bytes a second, of each part and, last, of all */
	struct memory_limit limit;
};

struct report_process {
	pid_t pid;
	pid_t parent; /* that was asked for, and this descends from; 0: none */
	const char *comm, *exe, *container;
	uint64_t start_realtime_ns;
	struct report_memory memory;
	bool ended; /* known to be, while it was traced */
};

struct report_state {
	pid_t pid;
	uint32_t state, runtime;
	uint64_t L, g;
	const char *label, *allocator;
	bool threads_known;
	uint32_t threads; /* coroutines */
	bool heap_known;
	uint64_t heap_bytes, heap_at_attach, live_bytes, live_blocks;
	uint64_t heap_low, heap_high; /* over the last second or two; 0 where it is not followed */
	uint64_t heap_floor;          /* after its latest collection; 0: not known */
	uint64_t allocs, frees, reallocs, failures, alloc_bytes;
	uint32_t gc_cycles;
	bool gc_known;
	const char *gc_state;
	const char *collector;       /* "stopped" by the program, or its cycles are "rare"; NULL: it runs */
	/* …for so long nothing was collected; what the heap grew by */
	double still_s, growth_bytes_per_s;
	bool before_attach;
	uint64_t born_realtime_ns;   /* unless before_attach */
	uint64_t closed_realtime_ns; /* 0: open */
	bool last_seen_closed;       /* closed, and shown in an earlier report */
	uint64_t old_free_bytes, lost_blocks, lost_bytes;
};

struct report_frame {
	const char *lua;  /* "@app.lua:12" */
	const char *name; /* as Lua calls the function */
	bool approx;      /* the line may be a neighbour */
	bool tail;        /* was tail called: its callers up to the next frame are gone */
	bool jit;         /* ran as machine code of a trace */
	bool thread;      /* innermost of the thread that resumed those before */
	bool truncated;   /* the stack goes on; nothing else is set */
	const char *native, *module; /* a C function: symbol, file */
	uint64_t offset;  /* in the file */
	uint32_t line_defined;
};

/*
 * One of the stacks that lead to a site, with what falls to it of the site's numbers. The parts
 * of all its stacks add up to the site's.
 */
struct report_stack {
	uint32_t first, n; /* report.stack_frames: innermost first */
	uint64_t samples;  /* 0: of the first allocation only */
	double error_pct;  /* of its bytes, 95 % confidence */
	uint64_t live_bytes, live_blocks, old_bytes, allocs, alloc_bytes;
	double growth_bytes_per_s;
};

struct report_site {
	pid_t pid;
	uint32_t state;
	const char *kind;
	struct report_frame frame; /* lua NULL: no Lua frame */
	bool below;
	uint64_t live_bytes, live_blocks, old_bytes, allocs, alloc_bytes;
	uint64_t peak_bytes, reallocs;
	uint64_t temporary_bytes; /* of alloc_bytes: freed before a collection found them alive */
	uint32_t survived_cycles;
	double growth_bytes_per_s;
	double error_pct; /* of its bytes when they come from windows, 95 % confidence */
	enum verdict verdict;
	uint32_t first_stack, n_stacks; /* report.stacks: the biggest first */
};

/* A stretch of time of one state; several recorded moments may fall into it. */
struct report_point {
	uint32_t state; /* position in report.states */
	uint64_t time_ns; /* CLOCK_REALTIME, of its first moment */
	uint64_t heap_low, heap_high, live_bytes;
	uint32_t gc_cycles;
};

/* One state's heap, walked while it was recorded; what was on it are report_objects. */
struct report_census {
	pid_t pid;
	uint32_t state; /* 0: nothing is known of the process' states */
	uint64_t time_ns;   /* CLOCK_REALTIME */
	const char *reason; /* why it was walked then: "start", "end", … */
	const char *why_not; /* nothing was counted: why */
	uint64_t heap_bytes, held_objects, held_bytes, dead_objects, dead_bytes;
	uint64_t pause_ns;  /* the longest stop of its process */
};

/* Objects of one kind and origin on a heap. */
struct report_object {
	pid_t pid;
	uint32_t state;
	const char *kind, *origin;
	bool dead; /* held by nobody: not collected yet */
	uint64_t count, bytes;
	bool first_known;
	/* in the first census of the recording; only when loaded from a file */
	uint64_t first_bytes;
	const char *path; /* from a root to one of them: steps and arrows */
};

/* One of the tables that keep most of a heap alive. */
struct report_holder {
	pid_t pid;
	uint32_t state;
	const char *kind, *origin;
	uint64_t bytes, retained_bytes;
	const char *path;
};

/* Between the steps of a path; no step holds it. */
#define REPORT_ARROW " → "

/* Something that happened while it was recorded. */
struct report_event {
	uint64_t time_ns;
	const char *kind, *text;
	pid_t pid;      /* 0: of none */
	uint32_t state; /* 0: of none */
};

struct report_evidence {
	const char *key;
	enum evidence_type type;
	uint64_t n;
	double rate;
	const char *text;
	struct report_frame frame; /* EVIDENCE_STACK: its leaf… */
	/* …and all frames, as far as they are known; n 0: only that one is */
	struct report_stack stack;
};

struct report_finding {
	enum finding_kind kind;
	enum severity severity;
	enum confidence confidence;
	uint64_t realtime_ns;
	pid_t pid, tid;
	uint32_t state;
	const char *message, *advice;
	uint64_t count;
	struct report_frame frame;
	struct report_stack stack; /* all frames, as far as they are known; n 0: only that one is */
	vec_of(struct report_evidence) evidence;
};

struct report {
	/* header */
	const char *mode, *kernel, *command;
	uint64_t start_realtime_ns, end_realtime_ns;
	bool last; /* no report follows */
	const char *recorded_by;  /* version that made the file, when it comes from one */
	uint64_t detail_since_ns; /* older details were given up for --max-size; 0: none */
	bool detail_dropped;      /* …and those of this moment are among them */
	uint64_t left_out;        /* states and sites that had no room in the file */

	vec_of(struct report_process) processes;
	vec_of(struct report_runtime) runtimes;
	vec_of(struct report_state) states;
	vec_of(struct report_finding) findings; /* the worst first */
	vec_of(struct report_site) sites; /* sorted */
	size_t top;                       /* sites shown; 0: all */
	vec_of(struct report_frame) frames;
	vec_of(uint32_t) stack_frames;    /* positions in frames */
	vec_of(struct report_stack) stacks;
	uint64_t sample_bytes;            /* mean bytes between two sampled stacks; 0 none */

	/*
	 * the heaps as they were walked last, only when recorded; the biggest first in each state
	 */
	bool new_census; /* …since the moment before */
	vec_of(struct report_census) censuses;
	vec_of(struct report_object) objects;
	vec_of(struct report_holder) holders;

	/* over time, only when loaded from a file */
	vec_of(struct report_point) series; /* of the biggest states; by state, then time */
	vec_of(struct report_event) events_log;

	/* completeness */
	bool active;                      /* something was traced: coverage and overhead apply */
	uint64_t lost[LMT_STAT_MAX];
	uint64_t events, predates_attach_bytes;
	uint64_t ring_lost;
	double ns_per_event, cpu_pct;     /* 0: not measured */
	bool windows;                     /* calls of the allocators were seen now and then only */
	double seen_pct;                  /* …so many of them */
	/* what seeing all would cost, in percent of the target's time */
	double full_pct;
	vec_of(const char *) blind_spots;
	const char *end_reason;
};

void report_deinit(struct report *r);

/* The i-th frame of a stack, innermost first. */
static inline const struct report_frame *report_frame_at(const struct report *r,
							 const struct report_stack *s, uint32_t i)
{
	return &r->frames.v[r->stack_frames.v[s->first + i]];
}

/* Frames of C functions above the innermost Lua frame; 0 also where there is no Lua frame. */
uint32_t report_frames_above(const struct report *r, const struct report_stack *s);

/* Calls that were made, of those that windows saw: an estimate. */
uint64_t report_scaled(const struct report *r, uint64_t seen);

/* Nothing was lost and nothing is out of sight. */
bool report_complete(const struct report *r);

const char *report_lost_key(unsigned int stat);  /* name in JSON */
const char *report_lost_text(unsigned int stat); /* sentence for people */

#endif
