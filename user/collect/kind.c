/* SPDX-License-Identifier: MIT */
#include "kind.h"

#include <string.h>
#include <time.h>

#include "block.h"

#define AWAIT_TRIES 3
#define AWAIT_NS 100000

const char *kind_name(enum block_kind kind)
{
	static const char *const names[] = {
		"table", "string", "function", "userdata", "thread", "proto",
		"upvalue", "cdata", "trace", "buffer", "c-heap", "unknown",
	};

	return names[kind];
}

/* osize when ptr is NULL, since 5.2: the type without variant bits, 0 for memory an object owns. */
enum block_kind kind_of_tag(const struct lmt_layout *l, uint32_t tag)
{
	static const enum block_kind by_tag[] = {
		[0] = KIND_BUFFER, [4] = KIND_STRING,   [5] = KIND_TABLE,
		[6] = KIND_FUNCTION, [7] = KIND_USERDATA, [8] = KIND_THREAD,
	};

	if (tag == LMT_TAG_C)
		return KIND_C_HEAP;
	if (!l || l->family != LMT_FAMILY_PUC || l->version < 502)
		return KIND_UNKNOWN;
	if (tag == (uint32_t)l->K_proto.off)
		return KIND_PROTO;
	if (tag == 9 || tag == 10)
		return KIND_UPVALUE;
	if (tag == 0 || (tag >= 4 && tag <= 8))
		return by_tag[tag];
	return KIND_UNKNOWN;
}

/* Type tags of objects: Lua 5.1's lobject.h (v5.1.5), LuaJIT's lj_obj.h (v2.1: gct = ~itype). */
static const enum block_kind by_tt_51[] = {
	[4] = KIND_STRING, [5] = KIND_TABLE, [6] = KIND_FUNCTION, [7] = KIND_USERDATA,
	[8] = KIND_THREAD, [9] = KIND_PROTO, [10] = KIND_UPVALUE,
};
static const enum block_kind by_gct[] = {
	[4] = KIND_STRING, [5] = KIND_UPVALUE, [6] = KIND_THREAD, [7] = KIND_PROTO,
	[8] = KIND_FUNCTION, [9] = KIND_TRACE, [10] = KIND_CDATA, [11] = KIND_TABLE,
	[12] = KIND_USERDATA,
};

#define COLOUR_BITS 7 /* two whites and black, in both families; 0 is a grey that no pause leaves */
#define KNOWN_MARKS 0x7fu

/*
 * A header: reference to the next object, then a byte each for type and marks. What a block that
 * is none holds there are values or text: their reference is no address, or their marks no colour.
 */
enum block_kind kind_of_block(const struct memread *mem, const struct lmt_layout *l, uint64_t uaddr)
{
	bool lj = l->family == LMT_FAMILY_LUAJIT;
	unsigned int ref = l->hot.wide ? 8 : 4, last = lj ? 12 : 10;
	unsigned int marks, type;
	uint8_t head[16];
	uint64_t next = 0;

	if (!memread_exact(mem, uaddr, head, ref + 2))
		return KIND_UNKNOWN;
	memcpy(&next, head, ref);
	marks = head[ref + (lj ? 0 : 1)];
	type = head[ref + (lj ? 1 : 0)];
	if (next >> 47 || next & 3 || type < 4 || type > last || !(marks & COLOUR_BITS) ||
	    marks & ~KNOWN_MARKS)
		return KIND_BUFFER;
	return lj ? by_gct[type] : by_tt_51[type];
}

void kind_await_object(const struct memread *mem, const struct lmt_layout *l, uint64_t uaddr)
{
	for (int i = 0; i < AWAIT_TRIES && kind_of_block(mem, l, uaddr) == KIND_BUFFER; i++)
		nanosleep(&(struct timespec){ .tv_nsec = AWAIT_NS }, NULL);
}

/* lj_obj.h: a nil is all ones, or just its upper word where references have 32 bits. */
enum block_kind kind_with_parts(const struct memread *mem, const struct lmt_layout *l, uint64_t uaddr)
{
	enum block_kind kind = kind_of_block(mem, l, uaddr);
	uint64_t first;

	if (kind == KIND_BUFFER && l->family == LMT_FAMILY_LUAJIT &&
	    memread_uint(mem, uaddr, 8, &first) && first >> 32 == 0xffffffff)
		return KIND_TABLE;
	return kind;
}

static int rank(enum block_kind kind)
{
	switch (kind) {
	case KIND_UNKNOWN:
		return 0;
	case KIND_BUFFER:
		return 1;
	case KIND_UPVALUE:
		return 2;
	case KIND_STRING:
		return 3;
	case KIND_PROTO:
		return 5;
	case KIND_TABLE:
	case KIND_FUNCTION:
	case KIND_USERDATA:
	case KIND_THREAD:
	case KIND_CDATA:
	case KIND_TRACE:
	case KIND_C_HEAP:
		break;
	}
	return 4;
}

enum block_kind kind_naming(enum block_kind a, enum block_kind b)
{
	return rank(b) > rank(a) ? b : a;
}

bool kind_is_final(enum block_kind kind)
{
	return rank(kind) >= 3;
}

unsigned int kind_looks(enum block_kind kind)
{
	return kind == KIND_STRING ? 5 : 2;
}
