/* SPDX-License-Identifier: MIT */
/*
 * funcs: the functions inside Lua that a tracer wants to know, and what is known of each.
 * L2 resolve. Adding one: a row here and a method in find_puc.c or find_luajit.c.
 */
#ifndef LMT_RESOLVE_FUNCS_H
#define LMT_RESOLVE_FUNCS_H

#include <stdint.h>

#include "layout.h"

/*	X(ID, name, family) */
#define FUNCS(X)                                             \
	X(LUA_NEWSTATE, "lua_newstate", 0)                   \
	X(LUA_CLOSE, "lua_close", 0)                         \
	X(LUA_GETALLOCF, "lua_getallocf", 0)                 \
	X(LUA_GC, "lua_gc", LMT_FAMILY_LUAJIT)               \
	X(LJ_ALLOC_F, "lj_alloc_f", LMT_FAMILY_LUAJIT)       \
	X(LJ_ALLOC_MALLOC, "lj_alloc_malloc", LMT_FAMILY_LUAJIT)   \
	X(LJ_ALLOC_REALLOC, "lj_alloc_realloc", LMT_FAMILY_LUAJIT) \
	X(LJ_ALLOC_FREE, "lj_alloc_free", LMT_FAMILY_LUAJIT) \
	X(LJ_TRACE_EXIT, "lj_trace_exit", LMT_FAMILY_LUAJIT) \
	X(LJ_CCALL_FUNC, "lj_ccall_func", LMT_FAMILY_LUAJIT) \
	X(LJ_GC_STEP, "lj_gc_step", LMT_FAMILY_LUAJIT)       \
	X(GC_ONESTEP, "gc_onestep", LMT_FAMILY_LUAJIT)       \
	X(GC_SWEEP, "gc_sweep", LMT_FAMILY_LUAJIT)           \
	X(LJ_ERR_MEM, "lj_err_mem", LMT_FAMILY_LUAJIT)       \
	X(LJ_VM_FFI_CALL, "lj_vm_ffi_call", LMT_FAMILY_LUAJIT)     \
	X(LJ_GC_STEP_JIT, "lj_gc_step_jit", LMT_FAMILY_LUAJIT)     \
	X(LJ_GC_FULLGC, "lj_gc_fullgc", LMT_FAMILY_LUAJIT)   \
	X(LJ_MEM_REALLOC, "lj_mem_realloc", LMT_FAMILY_LUAJIT)     \
	X(LJ_MEM_NEWGCO, "lj_mem_newgco", LMT_FAMILY_LUAJIT) \
	X(LJ_CDATA_FREE, "lj_cdata_free", LMT_FAMILY_LUAJIT) \
	X(L_ALLOC, "l_alloc", LMT_FAMILY_PUC)                \
	X(LUAM_REALLOC, "luaM_realloc_", LMT_FAMILY_PUC)     \
	X(LUAM_MALLOC, "luaM_malloc_", LMT_FAMILY_PUC)       \
	X(LUAM_FREE, "luaM_free_", LMT_FAMILY_PUC)           \
	X(LUAC_STEP, "luaC_step", LMT_FAMILY_PUC)            \
	X(LUAC_FULLGC, "luaC_fullgc", LMT_FAMILY_PUC)        \
	X(LUAD_THROW, "luaD_throw", LMT_FAMILY_PUC)          \
	X(LUAM_GROWAUX, "luaM_growaux_", LMT_FAMILY_PUC)     \
	X(LUAM_SHRINKVECTOR, "luaM_shrinkvector_", LMT_FAMILY_PUC) \
	X(SINGLESTEP, "singlestep", LMT_FAMILY_PUC)          \
	X(SWEEPLIST, "sweeplist", LMT_FAMILY_PUC)            \
	X(DUMMYNODE, "dummynode_", LMT_FAMILY_PUC)           \
	X(CLOSE_STATE, "close_state", 0)

enum func_id {
#define FUNC_ENUM(id, name, family) FUNC_##id,
	FUNCS(FUNC_ENUM)
#undef FUNC_ENUM
	FUNC_MAX
};

/* What is known of one function in one file. */
struct func_answer {
	uint64_t vaddr;      /* 0: not found */
	const char *how;     /* the method that found it: "symtab", "dynsym", "shape", … */
	const char *agrees;  /* a second method that gave the same answer, or NULL */
	const char *why_not; /* when not found: why, for people */
};

const char *func_name(enum func_id id);
unsigned int func_family(enum func_id id); /* 0: both */

#endif
