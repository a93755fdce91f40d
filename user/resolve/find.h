/* SPDX-License-Identifier: MIT */
/*
 * find: the methods that find Lua's functions in a stripped file by structure.
 * L2 resolve. Exactly one candidate or no answer: a wrong function is worse than a missing one.
 */
#ifndef LMT_RESOLVE_FIND_H
#define LMT_RESOLVE_FIND_H

#include "code.h"
#include "funcs.h"

struct finder {
	const struct code *code;
	struct func_answer *fn; /* FUNC_MAX answers, filled in by the methods */
	unsigned int version;   /* PUC: 501 … 505 as the file says; a hint for the trait table */
};

/* Each runs all methods of its family; answers that a symbol gave already are left alone. */
void find_luajit(struct finder *f);
void find_puc(struct finder *f);

/* Records an answer; a second method that disagrees with the first removes it. */
void find_answer(struct finder *f, enum func_id id, uint64_t vaddr, const char *how);

/* Address of the byte pattern that only LuaJIT's exit handler has; 0 if not exactly one. */
uint64_t find_luajit_exit_handler(struct elf_file *elf);

/*
 * Where an allocator callback f(ud, ptr, osize, nsize) goes, told by following its tests of nsize
 * and ptr: the address of the leaving call or jump, and its target. False when it cannot be
 * followed.
 */
struct find_branch {
	uint64_t at;
	uint64_t target;
};
bool find_alloc_branch(const struct code_function *fn, bool nsize, bool ptr,
		       struct find_branch *ret);

#endif
