/* SPDX-License-Identifier: MIT */
/*
 * elf_handle: libelf's own handle, for the other parts of resolve/ that elfutils serves.
 * L2 resolve.
 */
#ifndef LMT_RESOLVE_ELF_HANDLE_H
#define LMT_RESOLVE_ELF_HANDLE_H

#include <libelf.h>

struct elf_file;

/* Borrowed; valid as long as the file. */
Elf *elf_handle(struct elf_file *f);

#endif
