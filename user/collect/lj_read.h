/* SPDX-License-Identifier: MIT */
/*
 * lj_read: reads LuaJIT's objects out of a target, for frames_luajit.c and jit_place.c.
 * L4 collect.
 */
#ifndef LMT_COLLECT_LJ_READ_H
#define LMT_COLLECT_LJ_READ_H

#include <stdbool.h>
#include <stdint.h>

#include "resolve/layouts.h"
#include "resolve/memread.h"

struct lj {
	const struct memread *mem;
	const struct lmt_layout *l;
	uint64_t g;
	unsigned int ref; /* bytes of a reference */
};

#define LJ_MAX_BYTECODE (1u << 26)
#define LJ_GCT_FUNCTION 8

static inline bool lj_get(const struct lj *p, uint64_t base, struct lmt_cell c, uint64_t *ret)
{
	return layout_has(c) && c.size && c.size <= 8 &&
	       memread_uint(p->mem, base + (uint64_t)c.off, c.size, ret);
}

/* First bytecode of a prototype. */
static inline uint64_t lj_code(const struct lj *p, uint64_t proto)
{
	return proto + (uint64_t)p->l->size_proto.off;
}

/* True when the pc (of the next instruction) lies in the prototype. */
static inline bool lj_proto_holds(const struct lj *p, uint64_t proto, uint64_t pc)
{
	uint64_t n, code = lj_code(p, proto);

	return lj_get(p, proto, p->l->P_sizecode, &n) && n <= LJ_MAX_BYTECODE && pc >= code &&
	       pc - code >= 4 && pc - code <= 4 * n;
}

/* The prototype of a function object, or 0. */
static inline uint64_t lj_proto_of(const struct lj *p, uint64_t fn)
{
	uint64_t gct, ffid, pc;

	if (!memread_uint(p->mem, fn + p->ref + 1, 1, &gct) || gct != LJ_GCT_FUNCTION ||
	    !lj_get(p, fn, p->l->fn_ffid, &ffid) || ffid != 0 ||
	    !lj_get(p, fn, p->l->fn_pc, &pc))
		return 0;
	return pc - (uint64_t)p->l->size_proto.off;
}

#endif
