/* SPDX-License-Identifier: MIT */
/*
 * double-free, foreign-free: what is freed is not there. Only said when nothing escaped us: a
 * block whose allocation was not seen looks just the same.
 */
#include "detect.h"

static void by_ledger(struct findings *fs, const struct noticed *n, struct finding *f)
{
	evidence_number(f, "size", LMT_BLOCK_SIZE(&n->e->block));
	evidence_number(f, "osize", n->e->osize);
	evidence_number(f, "freed_ms_ago", n->e->arg[0]);
	evidence_stack(f, "alloc", &n->alloc_frame, n->alloc_stack);
	evidence_stack(f, "first_free", &n->other_frame, n->other_stack);
	evidence_text(fs, f, "first_free_phase", n->free_phase);
	finding_say(
		fs, f,
		"a block of %llu bytes is freed for the second time, %llu ms after the first: the heap "
		"is damaged from now on",
		(unsigned long long)LMT_BLOCK_SIZE(&n->e->block), (unsigned long long)n->e->arg[0]);
}

static void by_chunk(struct findings *fs, const struct noticed *n, struct finding *f)
{
	evidence_number(f, "size", n->e->osize);
	evidence_address(f, "head", n->e->arg[0]);
	evidence_stack(f, "first_free", &n->other_frame, n->other_stack);
	evidence_text(fs, f, "first_free_phase", n->free_phase);
	finding_say(fs, f, "a block of %llu bytes is freed that LuaJIT's allocator has already marked free",
		    (unsigned long long)n->e->osize);
}

void detect_double_free(struct findings *fs, const struct noticed *n)
{
	bool chunk = n->e->e.arg0 == LMT_FIND_CHUNK_FREE;
	struct finding *f;

	if (!chunk && (!n->saw_all || LMT_BLOCK_SIZE(&n->e->block) != n->e->osize))
		return;
	f = finding_of_noticed(fs, FINDING_DOUBLE_FREE, n);
	if (!f)
		return;
	f->severity = SEVERITY_FATAL;
	f->confidence = CONFIDENCE_CERTAIN;
	evidence_address(f, "ptr", n->e->ptr);
	if (chunk)
		by_chunk(fs, n, f);
	else
		by_ledger(fs, n, f);
	evidence_text(fs, f, "caller_module", n->caller.module);
	evidence_text(fs, f, "caller_function", n->caller.symbol);
	finding_advise(fs, f, "look for C code in %s that frees through lua_getallocf() or keeps a pointer "
		       "to memory Lua owns", n->caller.module ? n->caller.module : "the process");
}

void detect_foreign_free(struct findings *fs, const struct noticed *n)
{
	struct finding *f;

	if (!n->saw_all || n->old_states || n->ptr.module)
		return;
	f = finding_of_noticed(fs, FINDING_FOREIGN_FREE, n);
	if (!f)
		return;
	f->severity = SEVERITY_ERROR;
	f->confidence = CONFIDENCE_LIKELY;
	evidence_address(f, "ptr", n->e->ptr);
	evidence_number(f, "osize", n->e->osize);
	evidence_text(fs, f, "caller_module", n->caller.module);
	evidence_text(fs, f, "caller_function", n->caller.symbol);
	finding_say(fs, f, "memory is given to Lua's allocator to be %s that it never handed out (%llu bytes, "
		    "says the caller in %s)", n->e->nsize ? "moved" : "freed",
		    (unsigned long long)n->e->osize,
		    n->caller.module ? n->caller.module : "generated code");
	finding_advise(fs, f, "the caller mixes two ways of allocating: memory from malloc() must go back to "
		       "free(), memory from lua_getallocf()'s function back to that");
}
