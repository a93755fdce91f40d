/* SPDX-License-Identifier: MIT */
/*
 * near-oom, oom, shrink-failure: the allocator said no. What it answers is its policy, so every
 * finding names it.
 */
#include "detect.h"

static const char *allocator_of(const struct noticed *n)
{
	return n->allocator ? n->allocator : "the allocator";
}

static void add_request(struct findings *fs, struct finding *f, const struct noticed *n)
{
	if (n->e->nsize || n->e->osize) {
		evidence_number(f, "osize", n->e->osize);
		evidence_number(f, "nsize", n->e->nsize);
	}
	evidence_number(f, "heap_bytes", n->state && n->state->heap_known ? n->state->heap_bytes
			: n->e->live_bytes);
	evidence_text(fs, f, "allocator", n->allocator);
}

static void near_oom(struct findings *fs, const struct noticed *n)
{
	struct finding *f = finding_of_noticed(fs, FINDING_NEAR_OOM, n);

	if (!f)
		return;
	f->severity = SEVERITY_WARNING;
	f->confidence = CONFIDENCE_CERTAIN;
	add_request(fs, f, n);
	evidence_number(f, "freed_bytes", n->e->arg[0]);
	finding_say(fs, f, "almost out of memory: %s refused %llu bytes, an emergency collection freed %llu "
		    "and then it agreed", allocator_of(n), (unsigned long long)n->e->nsize,
		    (unsigned long long)n->e->arg[0]);
	finding_advise(fs, f, "raise the limit of %s or find what fills the heap; until then requests stall "
		       "for a full collection and the next one may fail", allocator_of(n));
}

void detect_oom(struct findings *fs, const struct noticed *n)
{
	struct finding *f;
	bool raised = n->e->arg[1];

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
		finding_say(fs, f, "out of memory: %s refused %llu bytes%s%s", allocator_of(n),
			    (unsigned long long)n->e->nsize,
			    n->e->arg[0] > 1 ? ", also after an emergency collection" : "",
			    raised ? ", and Lua raised a memory error" : "");
	else
		finding_say(fs, f, "out of memory: Lua raised a memory error");
	finding_advise(fs, f, "if %s has a limit for this state it was reached; if not, the machine's or "
		       "container's memory was. See the sites with the most live bytes", allocator_of(n));
}

void detect_shrink(struct findings *fs, const struct noticed *n)
{
	struct finding *f = finding_of_noticed(fs, FINDING_SHRINK_FAILURE, n);

	if (!f)
		return;
	f->severity = SEVERITY_ERROR;
	f->confidence = CONFIDENCE_CERTAIN;
	evidence_address(f, "ptr", n->e->ptr);
	evidence_number(f, "osize", n->e->osize);
	evidence_number(f, "nsize", n->e->nsize);
	evidence_text(fs, f, "allocator", n->allocator);
	finding_say(fs, f, "%s refused to shrink a block from %llu to %llu bytes, which Lua takes for granted",
		    allocator_of(n), (unsigned long long)n->e->osize, (unsigned long long)n->e->nsize);
	finding_advise(fs, f, "make the allocator return the old block when nsize <= osize and it cannot do "
		       "better; a limit must only be applied to growth");
}
