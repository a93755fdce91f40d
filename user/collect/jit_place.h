/* SPDX-License-Identifier: MIT */
/*
 * jit_place: which bytecode a return address in a trace's machine code belongs to.
 * L4 collect.
 */
#ifndef LMT_COLLECT_JIT_PLACE_H
#define LMT_COLLECT_JIT_PLACE_H

#include <stddef.h>

#include "lj_read.h"

struct jit_place {
	uint64_t proto;
	uint64_t pc;  /* behind the instruction */
	bool certain; /* nothing else on the way makes such a block: the line is exact */
	uint64_t trace; /* 0: unknown */
	uint64_t snap;  /* number of a snapshot that has the functions around it; if trace… */
	size_t level;   /* …and how many of its frames are around it */
	bool replaced;  /* level 0: the frame below has another function on the stack still */
};

/*
 * mcode_pc: the return address; block: what was allocated there first, or 0. False when the trace
 * is gone or too old to tell.
 */
bool jit_place(const struct lj *p, uint64_t mcode_pc, uint64_t block, struct jit_place *ret);

#endif
