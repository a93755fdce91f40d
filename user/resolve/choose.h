/* SPDX-License-Identifier: MIT */
/*
 * choose: one layout row out of those that a state's memory fits.
 * L2 resolve. Pure. Structure has spoken already; a version text only breaks ties, and where rows
 * that differ remain, there is no answer.
 */
#ifndef LMT_RESOLVE_CHOOSE_H
#define LMT_RESOLVE_CHOOSE_H

#include "code.h"
#include "layouts.h"

/*
 * rows: those that fit, n of them; version: what the file calls itself, may be "".
 * NULL when several remain that differ in what tracing needs. *why says how it was chosen, or
 * why not.
 */
const struct layout *choose_layout(const struct layout *const *rows, size_t n, const char *version,
				   const struct code *code, const char **why);

/*
 * The row for a copy of Lua that has no state yet, by the size of the block its lua_newstate asks
 * for (0: not found), else by the release it names; NULL when several remain. Provisional: the
 * first state that is born there must still fit it.
 */
const struct layout *choose_by_file(unsigned int family, const char *version, uint64_t block,
				    const struct code *code);

#endif
