/* SPDX-License-Identifier: MIT */
/*
 * near-oom, oom, shrink-failure: the allocator said no. What it answers is its policy, so every
 * finding names it.
 */
#include "detect.h"

#include <stdio.h>

#include "limit.h"

static const char *allocator_of(const struct noticed *n)
{
	return n->allocator ? n->allocator : "the allocator";
}

/* In bytes; 0 not known. The system's allocators have none for a single state. */
static uint64_t own_limit(const struct noticed *n)
{
	uint64_t held = n->e->live_bytes;

	if (n->own_allocator || n->e->nsize <= n->e->osize)
		return 0;
	return limit_between(held, held + n->e->nsize - n->e->osize);
}

static void add_request(struct findings *fs, struct finding *f, const struct noticed *n)
{
	if (n->e->nsize || n->e->osize) {
		evidence_number(f, "osize", n->e->osize);
		evidence_number(f, "nsize", n->e->nsize);
	}
	evidence_number(f, "heap_bytes", n->e->live_bytes ? n->e->live_bytes
			: n->state && n->state->heap_known ? n->state->heap_bytes : 0);
	evidence_text(fs, f, "allocator", n->allocator);
	if (n->map_limit)
		evidence_number(f, "map_limit_bytes", n->map_limit);
	if (own_limit(n))
		evidence_number(f, "limit_bytes", own_limit(n));
}

/* Who is to be asked for more. */
static void advise_oom(struct findings *fs, struct finding *f, const struct noticed *n)
{
	if (n->map_limit)
		finding_advise(fs, f, "the process may map no more than %llu bytes (ulimit -v): raise that, or see "
			       "the sites with the most live bytes", (unsigned long long)n->map_limit);
	else if (n->own_allocator)
		finding_advise(fs, f, "the system gave no more memory: look at the limits of the machine, the container "
			       "and the process (ulimit), and see the sites with the most live bytes");
	else if (own_limit(n))
		finding_advise(fs, f, "%s seems to give this state no more than %llu bytes: raise that, or see the "
			       "sites with the most live bytes", allocator_of(n), (unsigned long long)own_limit(n));
	else
		finding_advise(fs, f, "if %s has a limit for this state it was reached; if not, the machine's or "
			       "container's memory was. See the sites with the most live bytes", allocator_of(n));
}

/* "65536 bytes (to grow a block of 32768) with a heap of 2333301" */
static const char *request(const struct noticed *n, char *buf, size_t size)
{
	char grow[64] = "", heap[64] = "";

	if (n->e->osize)
		snprintf(grow, sizeof(grow), " (to %s a block of %llu)",
			 n->e->nsize > n->e->osize ? "grow" : "shrink", (unsigned long long)n->e->osize);
	if (n->e->live_bytes)
		snprintf(heap, sizeof(heap), " with a heap of %llu", (unsigned long long)n->e->live_bytes);
	snprintf(buf, size, "%llu bytes%s%s", (unsigned long long)n->e->nsize, grow, heap);
	return buf;
}

static void near_oom(struct findings *fs, const struct noticed *n)
{
	struct finding *f = finding_of_noticed(fs, FINDING_NEAR_OOM, n);
	char what[200];

	if (!f)
		return;
	f->severity = SEVERITY_WARNING;
	f->confidence = CONFIDENCE_CERTAIN;
	add_request(fs, f, n);
	evidence_number(f, "freed_bytes", n->e->arg[0]);
	finding_say(fs, f, "almost out of memory: %s refused %s; Lua stopped to collect all garbage (%llu bytes "
		    "freed), asked again and got it", allocator_of(n), request(n, what, sizeof(what)),
		    (unsigned long long)n->e->arg[0]);
	finding_advise(fs, f, "raise the limit of %s or find what fills the heap: each such stop stalls the "
		       "program, and once there is nothing to collect it fails",
		       n->own_allocator ? "the process or its container" : allocator_of(n));
}

void detect_oom(struct findings *fs, const struct noticed *n)
{
	struct finding *f;
	bool raised = n->e->arg[1];
	char what[200];

	if (n->e->e.arg0 == LMT_FIND_NEAR_OOM) {
		near_oom(fs, n);
		return;
	}
	f = finding_of_noticed(fs, FINDING_OOM, n);
	if (!f)
		return;
	f->severity = SEVERITY_ERROR;
	f->confidence = raised ? CONFIDENCE_CERTAIN : CONFIDENCE_LIKELY;
	add_request(fs, f, n);
	evidence_number(f, "refused", n->e->arg[0]);
	if (n->e->nsize)
		finding_say(fs, f, "out of memory: %s refused %s%s%s", allocator_of(n),
			    request(n, what, sizeof(what)),
			    n->e->arg[0] > 1 ? ", again after all garbage was collected" : "",
			    raised ? ", and Lua raised a memory error" : "");
	else
		finding_say(fs, f, "out of memory: Lua raised a memory error");
	advise_oom(fs, f, n);
}

void detect_shrink(struct findings *fs, const struct noticed *n)
{
	struct finding *f = finding_of_noticed(fs, FINDING_SHRINK_FAILURE, n);

	if (!f)
		return;
	f->severity = SEVERITY_ERROR;
	f->confidence = CONFIDENCE_CERTAIN;
	if (n->e->ptr) /* not kept everywhere behind the allocator's call */
		evidence_address(f, "ptr", n->e->ptr);
	evidence_number(f, "osize", n->e->osize);
	evidence_number(f, "nsize", n->e->nsize);
	evidence_text(fs, f, "allocator", n->allocator);
	finding_say(fs, f, "%s refused to make a block smaller (%llu to %llu bytes): Lua relies on that never "
		    "failing, and raises a memory error or crashes", allocator_of(n),
		    (unsigned long long)n->e->osize, (unsigned long long)n->e->nsize);
	finding_advise(fs, f, "make the allocator return the old block when nsize <= osize and it cannot do "
		       "better; a limit must only be applied to growth");
}
