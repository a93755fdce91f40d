/* SPDX-License-Identifier: MIT */
/*
 * native_stack: the C functions of a stack, and where among them its Lua frames belong.
 * L4 collect.
 *
 *	luaH_resize, luaV_execute           Lua frames replace the interpreter's function that
 *	  ↑ line 12 … line 40               runs them,
 *	luaD_precall, luaD_call, lua_pcallk
 *	luaB_pcall                          and a C function that Lua has called is in both lists:
 *	luaD_precall, luaV_execute          there they are joined.
 *	  ↑ line 7 …
 *	main, __libc_start_main, _start
 */
#ifndef LMT_COLLECT_NATIVE_STACK_H
#define LMT_COLLECT_NATIVE_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "discover/target.h"
#include "event.h"
#include "resolve/file.h"
#include "resolve/unwind.h"
#include "stackdb.h"

#define NATIVE_FRAMES 160

struct native_stack {
	uint32_t tid; /* 0: none */
	uint64_t site;
	bool whole;   /* down to the thread's first function */
	size_t n;
	struct unwind_frame frame[NATIVE_FRAMES]; /* innermost first */
};

void native_unwind(const struct target *t, struct files *files, const struct lmt_native *e,
		   bool gc64, struct native_stack *ret);

/* A frame of Lua's own stack. */
struct native_lua {
	struct stack_frame f;
	uint64_t c_function; /* address; 0: Lua code, or one that the interpreter does itself */
	bool enters;         /* those before it run in an activation of the interpreter of their own */
};

struct frames_source;

/*
 * Both lists as one, innermost first; returns how many frames of at most max. native NULL: Lua's
 * frames alone.
 */
size_t native_merge(const struct frames_source *src, const struct native_stack *native,
		    const struct native_lua *lua, size_t n_lua, struct stack_frame *out, size_t max);

#endif
