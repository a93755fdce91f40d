/* SPDX-License-Identifier: MIT */
/*
 * kind: what a block is: by the tag Lua passes to its allocator where it passes one, else by the
 * object's own header. Layer 4. Must not know of sites or verdicts.
 */
#ifndef COLLECT_KIND_H
#define COLLECT_KIND_H

#include "layout.h"
#include "resolve/memread.h"

enum block_kind {
	KIND_TABLE, KIND_STRING, KIND_FUNCTION, KIND_USERDATA, KIND_THREAD, KIND_PROTO,
	KIND_UPVALUE, KIND_CDATA, KIND_TRACE, KIND_BUFFER, KIND_C_HEAP, KIND_UNKNOWN,
};

/* As in the JSON records. */
const char *kind_name(enum block_kind kind);

/* By its allocation tag; KIND_UNKNOWN where the version passes none. l may be NULL. */
enum block_kind kind_of_tag(const struct lmt_layout *l, uint32_t tag);

/*
 * By what lies in a live block of the target: a collectable object names its type and carries a
 * colour; memory that an object owns (arrays, hash parts, text buffers) is KIND_BUFFER.
 * KIND_UNKNOWN when it cannot be read.
 */
enum block_kind kind_of_block(const struct memread *mem, const struct lmt_layout *l, uint64_t uaddr);

/*
 * Gives a block handed out just now some moments (0.3 ms at most) to become an object: its header is
 * written once the allocator has returned, and a target on a busy machine is often put off the processor
 * right there, by the very notice that wakes us. Memory that is no object costs all of them.
 */
void kind_await_object(const struct memread *mem, const struct lmt_layout *l, uint64_t uaddr);

/*
 * As kind_of_block, but memory that looks like a part of a table is KIND_TABLE: in LuaJIT, arrays
 * have a nil at index 0 nearly always. (Which instruction made the block, this does not tell.)
 */
enum block_kind kind_with_parts(const struct memread *mem, const struct lmt_layout *l, uint64_t uaddr);

/*
 * A place allocates an object and what it owns (a closure and its upvalues, a table and its parts,
 * a prototype and the strings in it): the one of two kinds that names the place.
 */
enum block_kind kind_naming(enum block_kind a, enum block_kind b);

/* Objects of this kind may name a place; others are only parts, or not known. */
bool kind_is_final(enum block_kind kind);

/*
 * How many looks at a place's blocks have to say this kind until it is believed; strings come with
 * most things that are made, so a place that makes nothing else is looked at more often.
 */
unsigned int kind_looks(enum block_kind kind);

#endif
