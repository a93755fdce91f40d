/* SPDX-License-Identifier: MIT */
/*
 * jit_place: which bytecode a return address in a trace's machine code belongs to.
 * L4 collect.
 */
#ifndef LMT_COLLECT_JIT_PLACE_H
#define LMT_COLLECT_JIT_PLACE_H

#include "lj_read.h"

struct jit_place {
	uint64_t proto;
	uint64_t pc;  /* behind the instruction */
	bool certain; /* nothing else on the way makes such a block: the line is exact */
};

/*
 * mcode_pc: the return address; block: what was allocated there first, or 0. False when the trace
 * is gone or too old to tell.
 */
bool jit_place(const struct lj *p, uint64_t mcode_pc, uint64_t block, struct jit_place *ret);

#endif
