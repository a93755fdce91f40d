/* SPDX-License-Identifier: MIT */
/*
 * stackdb: stacks as a prefix tree: outermost frames first, shared by all stacks that begin alike.
 * L4 collect. Ids, not pointers, cross stage borders; 0 is "none". Must not know where from.
 */
#ifndef LMT_COLLECT_STACKDB_H
#define LMT_COLLECT_STACKDB_H

#include <stddef.h>
#include <stdint.h>

#include "base/hashmap.h"
#include "base/vec.h"

enum { STACK_LUA = 1, STACK_NATIVE, STACK_TRUNCATED };

/* stack_frame.flags */
enum {
	STACK_APPROX = 1, /* the function is right, the line may be a neighbour */
	STACK_TAIL = 2,   /* was tail called: frames between it and the next are gone */
	STACK_JIT = 4,    /* ran as machine code of a trace */
	STACK_THREAD = 8, /* innermost of the thread that resumed those before */
};

/* Strings are ids of the session's strpool; 0 unknown. */
struct stack_frame {
	uint32_t where;  /* Lua: "@app.lua:12" */
	uint32_t name;   /* as Lua calls the function */
	uint32_t native; /* symbol */
	uint32_t module; /* file of the symbol, and the offset in it */
	uint64_t offset;
	uint32_t line_defined;
	uint16_t kind;   /* STACK_LUA, … */
	uint16_t flags;
};

#define STACKDB_FRAMES 300 /* of one stack: those BPF sends, native ones, those inlined in traces */

struct stackdb {
	vec_of(struct stack_frame) frames;
	struct hashmap frame_by_hash;  /* → index + 1 of the latest with that hash */
	vec_of(uint32_t) same_hash;    /* by frame: the one before it */
	vec_of(struct stack_node {
		uint32_t parent; /* stack without the innermost frame; 0: this is the outermost */
		uint32_t frame;  /* index */
	}) nodes;                      /* stack id - 1 */
	struct hashmap node_by_key;    /* (parent, frame) → id */
};

void stackdb_deinit(struct stackdb *db);

/* The id of a stack, innermost frame first; the same frames give the same id. 0: no memory. */
uint32_t stackdb_add(struct stackdb *db, const struct stack_frame *frames, size_t n);

/* Writes at most max indexes into db->frames, innermost first; returns how many. */
size_t stackdb_frames(const struct stackdb *db, uint32_t id, uint32_t *frames, size_t max);

#endif
