/* SPDX-License-Identifier: MIT */
/*
 * detect: from what was noticed to findings: what happened, where, how sure, what to do next.
 * L5 correlate. Pure: what the BPF side noticed comes in with every address already named.
 *
 * A detector is one file and one row in detect.c. It must say nothing about a healthy process:
 * when in doubt there is no finding.
 */
#ifndef LMT_HEAP_DETECT_H
#define LMT_HEAP_DETECT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/hashmap.h"
#include "base/strpool.h"
#include "base/vec.h"
#include "collect/frames.h"
#include "find.h"
#include "heap.h"
#include "memory.h"

/*	X(ID, name in every output) */
#define FINDING_KINDS(X)                           \
	X(LEAK, "leak")                            \
	X(OUTLIVED_CLOSE, "outlived-close")        \
	X(STATIC_FREE, "static-free")              \
	X(CROSS_RUNTIME, "cross-runtime")          \
	X(DOUBLE_FREE, "double-free")              \
	X(FOREIGN_FREE, "foreign-free")            \
	X(CORRUPT_CHUNK, "corrupt-chunk")          \
	X(SIZE_MISMATCH, "size-mismatch")          \
	X(NEAR_OOM, "near-oom")                    \
	X(OOM, "oom")                              \
	X(OOM_IN_TRACE, "oom-in-trace")            \
	X(SHRINK_FAILURE, "shrink-failure")        \
	X(ACCOUNTING_DRIFT, "accounting-drift")    \
	X(USE_AFTER_FREE, "use-after-free")        \
	X(C_LEAK, "c-leak")                        \
	X(NATIVE_GROWTH, "native-growth")          \
	X(KNOWN_BUG, "known-bug")                  \
	X(STATES_NOT_CLOSED, "states-not-closed")

enum finding_kind {
#define FINDING_ENUM(id, name) FINDING_##id,
	FINDING_KINDS(FINDING_ENUM)
#undef FINDING_ENUM
	FINDING_MAX
};

enum severity { SEVERITY_INFO, SEVERITY_WARNING, SEVERITY_ERROR, SEVERITY_FATAL };
enum confidence { CONFIDENCE_POSSIBLE, CONFIDENCE_LIKELY, CONFIDENCE_CERTAIN };

const char *finding_kind_name(enum finding_kind k);
const char *severity_name(enum severity s);
const char *confidence_name(enum confidence c);
bool finding_kind_find(const char *name, enum finding_kind *ret);

enum evidence_type { EVIDENCE_NUMBER, EVIDENCE_SIGNED, EVIDENCE_ADDRESS, EVIDENCE_TEXT,
		     EVIDENCE_STACK, EVIDENCE_RATE, EVIDENCE_PATH, EVIDENCE_LINES };

/* Between the steps of an EVIDENCE_PATH's text, from a root down to the object. */
#define EVIDENCE_STEP '\x1f'
/*
 * Lines that fill a container, as an EVIDENCE_LINES' text: parted by EVIDENCE_STEP, each with line,
 * kind, live bytes, live blocks and growth in bytes a second, parted by EVIDENCE_PART.
 */
#define EVIDENCE_PART '\x1e'
#define EVIDENCE_TYPES (EVIDENCE_LINES + 1)

struct evidence {
	const char *key; /* constant */
	enum evidence_type type;
	uint64_t n;
	double rate;
	uint32_t text;      /* in the string pool */
	struct frame frame; /* EVIDENCE_STACK: its leaf… */
	uint32_t stack;     /* …and all of it: id in the session's stackdb; 0 unknown */
};

#define FINDING_EVIDENCE 18

struct finding {
	uint64_t key; /* what counts as the same */
	enum finding_kind kind;
	enum severity severity;
	enum confidence confidence;
	uint64_t time_ns; /* CLOCK_MONOTONIC, of the first */
	pid_t pid, tid;   /* tid 0: no thread in particular */
	uint32_t state;   /* number; 0 process-wide */
	uint32_t message, advice; /* in the string pool */
	struct frame frame; /* where the Lua code was */
	bool below;         /* a C or built-in function lies above it */
	uint32_t stack;     /* all of it: id in the session's stackdb; 0 unknown */
	uint64_t count;
	uint64_t reported;  /* count when it was last written… */
	enum severity told; /* …and its severity then */
	bool withdrawn;     /* turned out to be none */
	uint64_t not_before_ns; /* doubtful: to be told from then on; 0: at once */
	uint64_t bpf_key;   /* under which the BPF side counts it; 0: it does not */
	uint64_t ptr_uaddr; /* the address it is about, 0 none */
	struct evidence evidence[FINDING_EVIDENCE];
	unsigned int n_evidence;
};

struct findings {
	vec_of(struct finding) v; /* in order of time */
	struct hashmap by_key;    /* key → position + 1 */
	struct strpool *strings;  /* borrowed */
	bool windows;             /* some allocator calls were not seen */
	bool failed;              /* out of memory: some are missing */
};

void findings_deinit(struct findings *fs);

/* An address in a module, named as far as the file says. module NULL: in none. */
struct named_address {
	const char *module, *section, *symbol;
	uint64_t offset; /* in the file's own count */
	bool writable, in_file;
};

/* What was noticed, with all names. Strings are borrowed for the call. */
struct noticed {
	const struct lmt_finding *e;
	const struct heap_state *state; /* NULL: not known */
	pid_t pid;
	struct frame frame, alloc_frame, other_frame;
	bool below;
	uint32_t stack, alloc_stack, other_stack;
	struct named_address ptr, caller;
	bool ptr_is_dummy;   /* what lies there is an empty hash node */
	bool ptr_served;     /* the allocator serves from that part of the module */
	const char *allocator, *owner_module, *foreign_module;
	bool own_allocator;  /* Lua's: it takes what the system gives */
	/* bytes that the process may map (RLIMIT_AS); 0: no limit, or not known */
	uint64_t map_limit;
	const char *function; /* that got a pointer */
	const char *free_phase; /* the collector's state when the block was freed; NULL unknown */
	const char *owner_version; /* "5.3.6"; NULL unknown */
	bool saw_all;        /* no call of any allocator in the process escaped us */
	bool old_states;     /* states that predate us use the same allocator */
};

/* Runs the detectors that care. Never fails: what cannot be stored is noted in fs->failed. */
void detect_noticed(struct findings *fs, const struct noticed *n);

/* Sites whose verdict is a leak, blocks that outlived their state, totals that disagree. */
void detect_snapshot(struct findings *fs, struct heap *h, const struct snapshot *snap, bool last);

/*
 * For the detectors. finding_make() gives the finding of the key, new or (its evidence cleared)
 * again; NULL when out of memory. Then evidence in the order of output.
 */
struct finding *finding_make(struct findings *fs, enum finding_kind kind, uint64_t key);

/* The finding of the key, if there is one, turned out to be none. */
void finding_withdraw(struct findings *fs, enum finding_kind kind, uint64_t key);
struct finding *finding_of_noticed(struct findings *fs, enum finding_kind kind,
				   const struct noticed *n);
struct finding *finding_of_key(struct findings *fs, enum finding_kind kind, const struct noticed *n,
			       uint64_t key);
/* As it is told: what names a line that may be a neighbour's is not certain. */
enum confidence finding_confidence(const struct finding *f);
void finding_say(struct findings *fs, struct finding *f, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void finding_advise(struct findings *fs, struct finding *f, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void evidence_number(struct finding *f, const char *key, uint64_t n);
void evidence_signed(struct finding *f, const char *key, int64_t n);
void evidence_address(struct finding *f, const char *key, uint64_t uaddr);
void evidence_rate(struct finding *f, const char *key, double rate);
void evidence_text(struct findings *fs, struct finding *f, const char *key, const char *text);
void evidence_path(struct finding *f, const char *key, uint32_t text);
void evidence_lines(struct findings *fs, struct finding *f, const char *key, const char *lines);
void evidence_stack(struct finding *f, const char *key, const struct frame *leaf, uint32_t stack);

/* One detector file each. */
void detect_static_free(struct findings *fs, const struct noticed *n);
void detect_cross_runtime(struct findings *fs, const struct noticed *n);
void detect_double_free(struct findings *fs, const struct noticed *n);
void detect_foreign_free(struct findings *fs, const struct noticed *n);
void detect_corrupt_chunk(struct findings *fs, const struct noticed *n);
void detect_size_mismatch(struct findings *fs, const struct noticed *n);
void detect_oom(struct findings *fs, const struct noticed *n);
void detect_shrink(struct findings *fs, const struct noticed *n);
void detect_err_mem(struct findings *fs, const struct noticed *n);
void detect_stale_arg(struct findings *fs, const struct noticed *n);
/* Was a leak, and has levelled off or is gone. */
bool detect_has_ceased(const struct heap_site *s, const struct heap_state *st);
void detect_leak(struct findings *fs, struct heap *h, const struct snapshot *snap, bool last);
void detect_c_leak(struct findings *fs, struct heap *h, const struct snapshot *snap, bool last);
void detect_outlived(struct findings *fs, struct heap *h, const struct snapshot *snap, bool last);
void detect_states(struct findings *fs, struct heap *h, const struct snapshot *snap, bool last);
void detect_drift(struct findings *fs, struct heap *h, const struct snapshot *snap, bool last);
/* Of a process, by where its memory is over time. */
void detect_native_growth(struct findings *fs, pid_t pid, const struct memory_series *recent,
			  const struct memory_series *whole, uint64_t now_ns);

/* "string", "proto", …; what the allocator is told a block is for. */
const char *tag_name(const struct lmt_layout *l, uint32_t tag);

#endif
