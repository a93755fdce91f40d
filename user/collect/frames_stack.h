/* SPDX-License-Identifier: MIT */
/*
 * frames_stack: resolves whole stacks while the target lives. L4 collect. See frames.h.
 */
#ifndef LMT_COLLECT_FRAMES_STACK_H
#define LMT_COLLECT_FRAMES_STACK_H

#include "discover/target.h"
#include "event.h"
#include "frames.h"
#include "native_stack.h"
#include "resolve/file.h"
#include "resolve/runtime.h"
#include "stackdb.h"

/* Where a stack was taken, and what its frames are looked up with. */
struct frames_source {
	const struct memread *mem;
	const struct lmt_layout *l;
	uint64_t g;     /* global_State */
	uint64_t block; /* the allocation it was taken at; 0 none */
	struct strpool *pool;
	const struct target *target;
	struct files *files;
	const struct resolved *resolved;
	uint32_t runtime; /* of the state; 0 unknown */
	struct frame top; /* the innermost Lua frame, where that was looked up before; else none */
};

/*
 * Frames, innermost first; returns how many of at most max. native: the C functions of the same
 * moment, to stand between them, or NULL.
 */
size_t frames_stack(const struct frames_source *src, const struct lmt_stack_event *ev,
		    const struct native_stack *native, struct stack_frame *out, size_t max);

#endif
