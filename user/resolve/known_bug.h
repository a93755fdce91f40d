/* SPDX-License-Identifier: MIT */
/*
 * known_bug: published memory bugs that this very copy of Lua has, told by its code and, where
 * the code says nothing, by what it calls itself. L2 resolve.
 */
#ifndef LMT_RESOLVE_KNOWN_BUG_H
#define LMT_RESOLVE_KNOWN_BUG_H

#include "code.h"
#include "funcs.h"

struct known_bug {
	const char *text;      /* a sentence */
	const char *reference; /* where it was published */
	const char *fixed_in;
};

/* The i-th bug that this copy has, or NULL past the last. *certain_ret: its code shows it. */
const struct known_bug *known_bug_of(unsigned int family, const char *version,
				     const struct code *code, const struct func_answer *fn, size_t i,
				     bool *certain_ret);

#endif
