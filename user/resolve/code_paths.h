/* SPDX-License-Identifier: MIT */
/*
 * code_paths: what a function calls with which of its own arguments, on every way through it. For
 * functions without a name, and without a known end (musl has no CFI). L2 resolve. Must not know Lua.
 */
#ifndef LMT_RESOLVE_CODE_PATHS_H
#define LMT_RESOLVE_CODE_PATHS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elf.h"

#define PATH_ARGS 4

/* What a register holds: argument 0 … 3 as it came in, or the result of the call that was followed last. */
enum { HOLDS_ARG = 0, HOLDS_RESULT = PATH_ARGS, HOLDS_OTHER = 0xff };

/* What is known of an argument on a way: by a comparison with 0, or as the caller assumes. */
enum { ARG_ANY, ARG_ZERO, ARG_NOT_ZERO };

struct path_call {
	uint64_t target;          /* behind jumps that are all of a function; 0: computed */
	uint8_t passes[2];        /* in rdi and rsi */
	uint8_t knows[PATH_ARGS];
	bool last;                /* a jump: its result is the function's */
};

#define PATH_CALLS 96

struct paths {
	struct path_call call[PATH_CALLS];
	size_t n;
	size_t ends;     /* ways that end in a return… */
	size_t results;  /* …of the result of the call before it */
	bool incomplete; /* some way could not be followed */
};

/* Follows all ways from the entry, under what is assumed of the arguments. */
void paths_walk(struct elf_file *f, uint64_t entry, const uint8_t assume[PATH_ARGS], struct paths *ret);

/* Where an entry leads that is nothing but a jump; itself otherwise. */
uint64_t paths_behind(struct elf_file *f, uint64_t entry);

#endif
