/* SPDX-License-Identifier: MIT */
/*
 * unwind: from registers and a copy of the stack to the C functions that were running. L2 resolve.
 * By the unwind tables of the target's files: no frame pointers are needed.
 *
 * Code that LuaJIT makes has no tables. It runs below a C frame of the interpreter, whose place is
 * known (L->cframe) and whose form is fixed: from there it goes on.
 */
#ifndef LMT_RESOLVE_UNWIND_H
#define LMT_RESOLVE_UNWIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "discover/target.h"
#include "event.h"
#include "file.h"

struct unwind_frame {
	uint64_t ip;    /* where it goes on; 0: generated code that a C frame of LuaJIT stands for */
	uint64_t start; /* of the function, if a file tells; else 0 */
	uint64_t end;
	bool interpreter; /* a C frame of LuaJIT's interpreter */
	bool protects;    /* …made by a protected call of C code: it may run no Lua code at all */
};

/*
 * Frames, innermost first; how many of at most max. *whole: the outermost is the first function of
 * its thread. gc64: the form of LuaJIT's C frames.
 */
size_t unwind(const struct target *t, struct files *files, const struct lmt_native *n, bool gc64,
	      struct unwind_frame *out, size_t max, bool *whole);

#endif
