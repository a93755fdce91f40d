/* SPDX-License-Identifier: MIT */
/*
 * elf_whereis: what lies at an address of a file, in the linker's words: section and symbol.
 * L2 resolve.
 */
#ifndef LMT_RESOLVE_ELF_WHEREIS_H
#define LMT_RESOLVE_ELF_WHEREIS_H

#include <stdbool.h>
#include <stdint.h>

#include "elf.h"

struct whereis {
	const char *section; /* ".rodata"; NULL: the file has no section table, or none holds it */
	const char *symbol;  /* that covers the address; NULL: stripped, or none */
	uint64_t symbol_off; /* bytes into it */
	bool writable;       /* the program may write there */
	bool in_file;        /* the file has bytes for it: not .bss */
};

/* False when no loaded segment of the file holds the vaddr. Strings are borrowed from the file. */
bool whereis(struct elf_file *f, uint64_t vaddr, struct whereis *ret);

/* The function that holds the vaddr by name, or NULL. Borrowed. */
const char *whereis_function(struct elf_file *f, uint64_t vaddr, uint64_t *off_ret);

#endif
