/* SPDX-License-Identifier: MIT */
/*
 * luajit: objects of LuaJIT, decoded out of the image; shared by walk_luajit.c, edges_luajit.c and
 * the files that name things. Part of the stage census.
 */
#ifndef LMT_CENSUS_LUAJIT_H
#define LMT_CENSUS_LUAJIT_H

#include "walk.h"

/* Type numbers of objects (lj_obj.h: ~LJ_T…), the same in every release. */
enum lj_gct {
	LJ_STRING = 4, LJ_UPVALUE, LJ_THREAD, LJ_PROTO, LJ_FUNCTION, LJ_TRACE, LJ_CDATA, LJ_TABLE,
	LJ_USERDATA
};

/* enum census_kind of a type number, or -1. */
int lj_kind(uint8_t gct);

/* The object that a tagged value refers to, or 0. */
static inline uint64_t lj_tv_object(const struct walk *w, const uint8_t *tv)
{
	uint64_t v = walk_u64(tv);
	uint32_t itype = w->ref == 8 ? (uint32_t)((int64_t)v >> 47) : (uint32_t)(v >> 32);

	if (itype > ~(uint32_t)LJ_STRING || itype < ~(uint32_t)LJ_USERDATA)
		return 0;
	return w->ref == 8 ? v & ((1ull << 47) - 1) : (uint32_t)v;
}

static inline bool lj_tv_is_nil(const struct walk *w, const uint8_t *tv)
{
	uint64_t v = walk_u64(tv);

	return w->ref == 8 ? v == ~0ull : (uint32_t)(v >> 32) == ~0u;
}

struct lj_table {
	uint64_t array, array_n, node, nodes, meta;
	uint8_t nomm; /* bit n set: the metatable has no metamethod n */
	uint64_t block;
};
bool lj_table(const struct walk *w, uint64_t t, struct lj_table *ret);

struct lj_cdata {
	uint32_t ctype;
	uint64_t payload, len; /* of what C sees */
	bool variable;
	uint64_t block;
};
bool lj_cdata(const struct walk *w, uint64_t cd, struct lj_cdata *ret);

/* The C type's entry; attributes and typedefs are passed. NULL: no such type. */
const uint8_t *lj_ctype(const struct walk *w, uint32_t id);
#define LJ_CT_KIND(info) ((info) >> 28)
enum lj_ct { LJ_CT_NUM, LJ_CT_STRUCT, LJ_CT_PTR, LJ_CT_ARRAY, LJ_CT_VOID, LJ_CT_ENUM, LJ_CT_FUNC,
	     LJ_CT_TYPEDEF, LJ_CT_ATTRIB, LJ_CT_FIELD };

/* Sets w->ctypes from the copy of the state. */
void lj_find_ctypes(struct walk *w);

/* Bytes of its own that a string buffer (userdata of the buffer library) has; 0: it is none. */
uint64_t lj_buffer_bytes(const struct walk *w, const uint8_t *u);

#endif
