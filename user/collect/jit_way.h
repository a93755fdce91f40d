/* SPDX-License-Identifier: MIT */
/*
 * jit_way: the bytecodes that a trace ran between two of its snapshots, and which of them may
 * allocate. L4 collect.
 */
#ifndef LMT_COLLECT_JIT_WAY_H
#define LMT_COLLECT_JIT_WAY_H

#include "jit_trace.h"

enum op_class { OP_OTHER, OP_TABLE, OP_STRING, OP_FUNCTION, OP_GROW, OP_CALL, OP_TAIL_CALL,
		OP_RETURN, OP_JUMP, OP_BRANCH, OP_LOOP };

#define WAY_CANDIDATES 24

struct candidate {
	uint64_t proto, pc; /* behind the instruction */
	enum op_class class;
	bool late;    /* its frames are those of the second snapshot, else of the first… */
	size_t level; /* …and this many of them */
};

struct way {
	struct candidate c[WAY_CANDIDATES];
	size_t n;
	bool straight; /* the only way there is: no branch was guessed and nothing left out */
};

/*
 * From one snapshot to b, or if that is NULL to where the trace ends. before: the one before it, or NULL.
 * False: these bytecodes are unknown.
 */
bool jit_way(const struct lj *p, const struct jit_snap *before, const struct jit_snap *from,
	     const struct jit_snap *b, struct way *w);

/* The first instruction from pc on that is of the class; the pc behind it, or 0. */
uint64_t jit_maker_from(const struct lj *p, uint64_t proto, uint64_t pc, enum op_class class);

/* Could a call of the function make a block that instructions of this class make? */
bool jit_may_make(const struct lj *p, uint64_t proto, enum op_class class);

#endif
