/* SPDX-License-Identifier: MIT */
/*
 * oom-in-trace: LuaJIT's memory error raised where it cannot be unwound properly: while a trace is
 * left, or from a collector step called by machine code. Builds that rehash the table of FFI
 * finalizers at the end of a cycle (LuaJIT 5d25645a to fb22d0f8, 2013 to 2024) crash there.
 */
#include "detect.h"

#include <stdio.h>

enum where { IN_ORDINARY_CODE, IN_EXIT, IN_GC_STEP, ON_TRACE };

static enum where where_of(const struct lmt_finding *e)
{
	if (e->arg[LMT_ERR_JIT_BASE])
		return (int64_t)e->arg[LMT_ERR_VMSTATE] < 0 ? IN_GC_STEP : ON_TRACE;
	return e->arg[LMT_ERR_IN_EXIT] ? IN_EXIT : IN_ORDINARY_CODE;
}

static const char *gc_state_name(uint64_t n)
{
	static const char *const names[] = { "pause", "propagate", "atomic", "sweepstring", "sweep",
					     "finalize" };

	return n < sizeof(names) / sizeof(names[0]) ? names[n] : "unknown";
}

static void ordinary(struct findings *fs, const struct noticed *n)
{
	const struct lmt_finding *e = n->e;
	struct finding *f = finding_of_noticed(fs, FINDING_OOM, n);
	const char *allocator = n->allocator ? n->allocator : "the allocator";

	if (!f)
		return;
	f->severity = SEVERITY_ERROR;
	f->confidence = CONFIDENCE_CERTAIN;
	if (e->nsize) {
		evidence_number(f, "osize", e->osize);
		evidence_number(f, "nsize", e->nsize);
	}
	evidence_number(f, "heap_bytes", e->live_bytes ? e->live_bytes
			: n->state && n->state->heap_known ? n->state->heap_bytes : 0);
	evidence_text(fs, f, "allocator", n->allocator);
	if (e->nsize)
		finding_say(fs, f, "out of memory: %s refused %llu bytes with a heap of %llu, and LuaJIT raised a "
			    "memory error", allocator, (unsigned long long)e->nsize,
			    (unsigned long long)e->live_bytes);
	else
		finding_say(fs, f, "out of memory: LuaJIT raised a memory error");
	finding_advise(fs, f, "if %s has a limit for this state it was reached; builds without GC64 end at 1 "
		       "or 2 GiB whatever the machine has. See the sites with the most live bytes",
		       allocator);
}

#define GC_FINALIZE 5

static void say(struct findings *fs, struct finding *f, const struct noticed *n, enum where where)
{
	const struct lmt_finding *e = n->e;
	const char *when = e->arg[LMT_ERR_GC_STATE] == GC_FINALIZE ? ", at the end of a garbage collection" : "";
	const char *who = n->allocator ? n->allocator : "the allocator";
	unsigned long long trace = e->arg[LMT_ERR_TRACE], exit = e->arg[LMT_ERR_EXIT];
	char name[64] = "a JIT trace", what[600] = "";

	if (trace && where == IN_EXIT && exit != ~0ull)
		snprintf(name, sizeof(name), "JIT trace %llu by exit %llu", trace, exit);
	else if (trace)
		snprintf(name, sizeof(name), "JIT trace %llu", trace);
	if (e->nsize)
		snprintf(what, sizeof(what), " (%s refused %llu bytes)", who, (unsigned long long)e->nsize);
	switch (where) {
	case IN_EXIT:
		finding_say(fs, f, "out of memory while leaving %s%s%s: LuaJIT cannot unwind a memory error "
			    "there, the process will most likely crash now", name, when, what);
		break;
	case IN_GC_STEP:
		finding_say(fs, f, "out of memory in a collector step that %s called%s%s: LuaJIT cannot "
			    "unwind a memory error there, the process will most likely crash now", name, when,
			    what);
		break;
	case ON_TRACE:
	case IN_ORDINARY_CODE:
		finding_say(fs, f, "out of memory in the machine code of %s%s", name, what);
		break;
	}
}

static void in_trace(struct findings *fs, const struct noticed *n, enum where where)
{
	static const char *const names[] = { "", "trace-exit", "gc-step-on-trace", "on-trace" };
	const struct lmt_finding *e = n->e;
	struct finding *f = finding_of_noticed(fs, FINDING_OOM_IN_TRACE, n);

	if (!f)
		return;
	f->severity = where == ON_TRACE ? SEVERITY_ERROR : SEVERITY_FATAL;
	f->confidence = CONFIDENCE_CERTAIN;
	if (!f->frame.where && n->other_frame.where) { /* the trace's own line is near enough */
		f->frame = n->other_frame;
		f->frame.approx = true;
	}
	evidence_text(fs, f, "where", names[where]);
	if (e->arg[LMT_ERR_TRACE])
		evidence_number(f, "trace", e->arg[LMT_ERR_TRACE]);
	if (where == IN_EXIT && e->arg[LMT_ERR_EXIT] != ~0ull)
		evidence_number(f, "exit", e->arg[LMT_ERR_EXIT]);
	if (n->other_frame.where)
		evidence_text(fs, f, "trace_start", strpool_get(fs->strings, n->other_frame.where));
	evidence_text(fs, f, "gc_state", gc_state_name(e->arg[LMT_ERR_GC_STATE]));
	evidence_signed(f, "vmstate", (int64_t)e->arg[LMT_ERR_VMSTATE]);
	if (e->nsize) {
		evidence_number(f, "osize", e->osize);
		evidence_number(f, "nsize", e->nsize);
	}
	evidence_text(fs, f, "allocator", n->allocator);
	say(fs, f, n, where);
	finding_advise(fs, f, "%s", where == ON_TRACE
		       ? "the allocator refused memory to compiled code; see the sites with the most live bytes"
		       : "upgrade LuaJIT to 2024-08-19 (fb22d0f8) or later, which no longer allocates at the "
			 "end of a collection; until then give the state more memory, or use fewer "
			 "ffi.gc() objects");
}

void detect_err_mem(struct findings *fs, const struct noticed *n)
{
	enum where where = where_of(n->e);

	if (where == IN_ORDINARY_CODE)
		ordinary(fs, n);
	else
		in_trace(fs, n, where);
}
