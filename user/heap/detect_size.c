/* SPDX-License-Identifier: MIT */
/*
 * size-mismatch: osize is not what the block was allocated with. Allocators that trust osize keep
 * wrong books by it, and some put the block into the wrong list.
 */
#include "detect.h"

void detect_size_mismatch(struct findings *fs, const struct noticed *n)
{
	unsigned long long recorded = LMT_BLOCK_SIZE(&n->e->block), osize = n->e->osize;
	struct finding *f = finding_of_noticed(fs, FINDING_SIZE_MISMATCH, n);

	if (!f)
		return;
	f->severity = SEVERITY_ERROR;
	f->confidence = CONFIDENCE_CERTAIN;
	evidence_address(f, "ptr", n->e->ptr);
	evidence_number(f, "osize", osize);
	evidence_number(f, "recorded", recorded);
	if (n->e->nsize)
		evidence_number(f, "nsize", n->e->nsize);
	evidence_stack(f, "alloc", &n->alloc_frame, n->alloc_stack);
	evidence_text(fs, f, "caller_module", n->caller.module);
	evidence_text(fs, f, "caller_function", n->caller.symbol);
	finding_say(fs, f, "a block of %llu bytes is %s as if it had %llu (by %s)", recorded,
		    n->e->nsize ? "reallocated" : "freed", osize,
		    n->caller.module ? n->caller.module : "generated code");
	finding_advise(fs, f, "make the caller pass the size it allocated with as osize; until then the "
		       "allocator's own count of Lua's memory is wrong by the difference each time");
}
