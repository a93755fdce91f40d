/* SPDX-License-Identifier: MIT */
/*
 * identify: does a file hold a copy of Lua, and what does it call itself?
 * L2 resolve. A client's version string does not count: the core must be in the file.
 */
#ifndef LMT_RESOLVE_IDENTIFY_H
#define LMT_RESOLVE_IDENTIFY_H

#include <stdbool.h>

#include "elf.h"

/* LuaJIT 2.1 calls its last part by the seconds of a commit; a smaller number is no such time. */
#define FIRST_COMMIT 1000000000

struct identity {
	bool holds_lua;
	unsigned int family;  /* LMT_FAMILY_… */
	unsigned int number;  /* PUC: 501 … 505 as the text says, 0 unknown */
	char version[32];     /* "5.4.4", "2.1.0-beta3", "" unknown */
	const char *evidence; /* why we think it does */
};

void identify_file(struct elf_file *elf, struct identity *ret);

#endif
