/* SPDX-License-Identifier: MIT */
/*
 * elf_file: the inside of struct elf_file, for elf.c (segments, functions) and elf_sym.c (symbols,
 * relocations) only. L2 resolve.
 */
#ifndef LMT_RESOLVE_ELF_FILE_H
#define LMT_RESOLVE_ELF_FILE_H

#include <libelf.h>

#include "base/hashmap.h"
#include "base/vec.h"
#include "elf.h"

#define ELF_MAX_SEGMENTS 64u

struct elf_symbol {
	const char *name; /* inside libelf's data */
	uint64_t vaddr;
	const char *source;
	bool chooser; /* STT_GNU_IFUNC: code that says which function is to be used */
};

struct elf_import {
	uint64_t slot;
	const char *name;
};

struct elf_file {
	int fd;
	Elf *elf;
	uint64_t size;
	char build_id[64];
	struct elf_segment seg[ELF_MAX_SEGMENTS];
	size_t n_segs;
	uint64_t eh_frame_hdr, eh_frame_hdr_size;

	bool have_symbols;
	vec_of(struct elf_symbol) symbols;
	bool have_relocs;
	vec_of(struct elf_import) imports;
	struct hashmap import_by_slot; /* GOT slot → index + 1 */
	struct hashmap pointers;       /* slot → relocated value */
	bool have_functions;
	vec_of(struct elf_function) functions;
};

#endif
