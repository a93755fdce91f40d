/* SPDX-License-Identifier: MIT */
/*
 * functions: where Lua's functions are in one file, by every source there is.
 * L2 resolve. Symbols first; what they name, the structural methods may only confirm.
 */
#ifndef LMT_RESOLVE_FUNCTIONS_H
#define LMT_RESOLVE_FUNCTIONS_H

#include "file.h"
#include "funcs.h"

/*
 * Fills FUNC_MAX answers. family and number (PUC: 501 … 505, a hint) as the file or its live
 * states say. Every answer without an address says why.
 * Returns the size of the block that lua_newstate asks for, 0 when that is not found.
 */
uint64_t functions_find(struct file *file, unsigned int family, unsigned int number,
			struct func_answer *fn);

#endif
