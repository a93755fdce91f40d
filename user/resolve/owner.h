/* SPDX-License-Identifier: MIT */
/*
 * owner: which mapped copy of Lua does a state belong to? Told by pointers that only that copy's
 * static data can be behind. L2 resolve.
 */
#ifndef LMT_RESOLVE_OWNER_H
#define LMT_RESOLVE_OWNER_H

#include "discover/target.h"
#include "memread.h"
#include "states.h"

/* The module, with the fact that told; NULL when nothing did. Borrowed. */
const struct module *owner_of_state(const struct target *t, const struct memread *mem,
				   const struct lua_state *st, const char **evidence_ret);

#endif
