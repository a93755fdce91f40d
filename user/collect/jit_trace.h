/* SPDX-License-Identifier: MIT */
/*
 * jit_trace: the traces of a LuaJIT: which one an address of machine code belongs to, its
 * snapshots with the frames they rebuild, and the functions it is tied to. L4 collect.
 */
#ifndef LMT_COLLECT_JIT_TRACE_H
#define LMT_COLLECT_JIT_TRACE_H

#include <stddef.h>

#include "lj_read.h"

#define JIT_FRAMES 60

struct jit_frame {
	uint64_t fn;      /* function object; 0: not a constant of the trace */
	uint64_t link;    /* the caller's pc, or a distance and a type in the low three bits */
	uint64_t cont_pc; /* of a continuation frame (a metamethod's) */
	unsigned int slot;
};

struct jit_snap {
	uint64_t pc; /* of the instruction to resume at */
	uint64_t proto; /* of the innermost function */
	uint64_t mcofs; /* bytes of machine code before it */
	bool replaced;  /* another function took the frame the trace runs on top of: a tail call */
	size_t n;       /* frames above the one the trace runs on top of, outermost first */
	struct jit_frame f[JIT_FRAMES];
};

/* The trace whose machine code the return address points into; 0 none. */
uint64_t jit_trace_at(const struct lj *p, uint64_t mcode_pc, uint64_t *mcode_ret);

/* The last snapshot whose machine code begins at or before the offset; false: there is none. */
bool jit_snap_at(const struct lj *p, uint64_t tr, uint64_t ofs, uint64_t *ret);

/* False when there is no such snapshot, or it is no sound one. */
bool jit_snap_read(const struct lj *p, uint64_t tr, uint64_t i, struct jit_snap *ret);

/* Where the frame below goes on, as far as the link of the one above tells; else 0. */
uint64_t jit_caller_pc(const struct jit_frame *f);

/* A second frame that a function with variable arguments has on top of its own. */
bool jit_is_vararg(const struct jit_frame *f);

/* The prototype that holds a pc, from the bytecode alone; false when there is none nearby. */
bool jit_proto_at(const struct lj *p, uint64_t pc, uint64_t *proto_ret);

/*
 * Prototypes of Lua functions that the trace is tied to but that no snapshot has on the stack:
 * if they run in it, then from beginning to end between two snapshots. False: not known, or more.
 */
bool jit_hidden(const struct lj *p, uint64_t tr, uint64_t *protos, size_t max, size_t *n_ret);

#endif
