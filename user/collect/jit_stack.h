/* SPDX-License-Identifier: MIT */
/*
 * jit_stack: the functions that a trace has inlined at a place. They have no frames on the stack
 * while machine code runs; a snapshot knows how to build them. L4 collect.
 */
#ifndef LMT_COLLECT_JIT_STACK_H
#define LMT_COLLECT_JIT_STACK_H

#include <stddef.h>

#include "event.h"
#include "jit_place.h"

/*
 * Writes the frames above the one the trace runs on top of, innermost first, and returns how
 * many. *base_pc_ret: where that frame goes on; 0 unknown. None: the place is in that frame.
 */
size_t jit_stack(const struct lj *p, const struct jit_place *place, struct lmt_frame *frames,
		 size_t max, uint64_t *base_pc_ret);

#endif
