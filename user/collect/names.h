/* SPDX-License-Identifier: MIT */
/*
 * names: what Lua calls a function, told by the instruction that called it: the global, field,
 * method, upvalue or local it was taken from, or the metamethod the instruction stands for.
 * L4 collect. As debug.getinfo(…, "n") would say.
 */
#ifndef LMT_COLLECT_NAMES_H
#define LMT_COLLECT_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resolve/layouts.h"
#include "resolve/memread.h"

#define NAME_MAX_BYTES 200

/* proto, pc: of the caller, behind the calling instruction. False when there is no name. */
bool names_puc(const struct memread *mem, const struct lmt_layout *l, uint64_t proto, uint64_t pc,
	       char *name, size_t size);
bool names_luajit(const struct memread *mem, const struct lmt_layout *l, uint64_t proto, uint64_t pc,
		  char *name, size_t size);

/* The local variable that lives in a register at that call; a loop's own begins with "(" or is "?". */
bool names_puc_local(const struct memread *mem, const struct lmt_layout *l, uint64_t proto, uint64_t pc,
		     unsigned int reg, char *name, size_t size);
bool names_luajit_local(const struct memread *mem, const struct lmt_layout *l, uint64_t proto,
			uint64_t pc, unsigned int reg, char *name, size_t size);
/*
 * Does the caller's instruction call a function as part of its own run of the interpreter? Others
 * (metamethods, iterators, finalizers) enter the interpreter anew.
 */
bool names_puc_calls(const struct memread *mem, const struct lmt_layout *l, uint64_t proto, uint64_t pc);

/* Text of a PUC TString; at most size - 1 bytes of it. */
bool puc_string(const struct memread *mem, const struct lmt_layout *l, uint64_t s, char *out,
		size_t size);

#endif
