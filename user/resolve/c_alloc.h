/* SPDX-License-Identifier: MIT */
/*
 * c_alloc: malloc() and its kin in a file, whichever allocator it is. L2 resolve.
 *
 * Every definition counts, also one that another file's takes the place of (LD_PRELOAD, an allocator
 * linked into the program): who calls it shows when it is called, and calls of one by another are one.
 */
#ifndef LMT_RESOLVE_C_ALLOC_H
#define LMT_RESOLVE_C_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elf.h"

#define C_ALLOC_MAX 128

struct c_alloc_function {
	char name[48];
	uint64_t vaddr;
	uint8_t what;      /* LMT_C_… */
	unsigned int args; /* those needed, by bit */
};

/* Those that the file names, each address once, at most max. */
size_t c_alloc_find(struct elf_file *f, struct c_alloc_function *ret, size_t max);

/*
 * malloc(), realloc() and free() of a file without names, by Lua's own allocator callback: it calls free()
 * and realloc(), and realloc(NULL, n) calls malloc(). 3, or 0 unless all of it is certain.
 */
size_t c_alloc_by_callback(struct elf_file *f, uint64_t callback, struct c_alloc_function *ret);

/*
 * Which allocations in the file cannot be followed although `found` functions were found, by their names or
 * by the callback, and why; NULL: none.
 */
const char *c_alloc_unseen(struct elf_file *f, size_t found, bool by_name);

#endif
