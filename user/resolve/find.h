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
	uint64_t state_block;   /* bytes that lua_newstate asks for; 0 unknown */
};

/* Each runs all methods of its family; answers that a symbol gave already are left alone. */
void find_luajit(struct finder *f);
void find_puc(struct finder *f);

struct alloc_calls;

/* lua_newstate asks for a block of a constant size that close_state gives back. Both families. */
void find_birth_and_death(struct finder *f, const struct alloc_calls *calls, bool luajit);
/* lua_getallocf, by its shape. Both families. */
void find_getallocf(struct finder *f);

/* Parts of the two above, each with its reason for a file of its own. */
void find_luajit_tables(struct finder *f); /* functions that a table of pointers names */
void find_luajit_memory(struct finder *f); /* those that call the allocator */
void find_puc_vectors(struct finder *f);   /* callers of luaM_realloc_ that grow and shrink */
void find_puc_collector(struct finder *f); /* what luaC_step and luaC_fullgc share */
void find_puc_dummynode(struct finder *f); /* data: the node of an empty table */

/* Records an answer; a second method that disagrees with the first removes it. */
void find_answer(struct finder *f, enum func_id id, uint64_t vaddr, const char *how);

/* True when the function's instruction refers to the address, by rip or (no PIE) as a number. */
bool find_refers(const struct insn *in, uint64_t vaddr);

/* The address an instruction puts into a register: lea, or (no PIE) mov of a number; else 0. */
uint64_t find_address(const struct insn *in);

/*
 * Whose entry value the register still has before instruction `at`, followed through moves in a
 * straight line; REG_NONE when it was computed.
 */
unsigned int find_origin(const struct code_function *fn, size_t at, unsigned int reg);

/* True when the function's own rsi, rdx, rcx reach its first computed call unchanged. */
bool find_passes_arguments(const struct code_function *fn);

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
