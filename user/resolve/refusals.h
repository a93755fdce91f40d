/* SPDX-License-Identifier: MIT */
/*
 * refusals: the places in Lua's code that are only reached once an allocator has said no, and where
 * the request is to be found there. L2 resolve. Pure.
 *
 * Lua 5.2 and later collect garbage and ask again; all raise a memory error in the end. Both are
 * calls of rare functions from the function that asked, so what was asked for is still in registers or
 * on the stack. Which, is read off the code: what the arguments of the allocator's call are copies of.
 */
#ifndef LMT_RESOLVE_REFUSALS_H
#define LMT_RESOLVE_REFUSALS_H

#include "alloc_calls.h"
#include "block.h"

enum refusal_kind {
	REFUSAL_COLLECTS, /* the call of the emergency collection */
	REFUSAL_RAISES,   /* the call that raises the memory error */
	REFUSAL_RETRIED,  /* the second answer is in the first register */
};

struct refusal_site {
	uint64_t vaddr;
	enum refusal_kind kind;
	uint8_t ptr, osize, nsize; /* of the request: LMT_REG_… or a register; L is the call's argument */
};

/* What the code is asked with; addresses are 0 where not known. */
struct refusal_wants {
	int64_t disp;      /* of the callback in global_State */
	uint64_t realloc_fn; /* (L, block, osize, nsize), which calls the allocator */
	uint64_t fullgc;   /* (L, isemergency) */
	uint64_t throw_fn; /* (L, code) */
	uint64_t err_mem;  /* (L) */
};

struct refusals {
	vec_of(struct refusal_site) v;
};

/* Adds the sites to ret, whose v the caller frees. 0 or -ENOMEM. */
int refusals_find(const struct code *c, const struct refusal_wants *w, struct refusals *ret);

#endif
