/* SPDX-License-Identifier: MIT */
/*
 * elf: what is read of a module's file: segments, symbols, imports, function ranges.
 * L2 resolve. elf*.c alone use libelf (cfi.c: its sibling libdw). Must not know Lua.
 *
 * Files are hostile: sizes, offsets and counts are checked before use, everything is bounded.
 * "vaddr" is an address as the file counts (before relocation), "offset" a position in the file.
 */
#ifndef LMT_RESOLVE_ELF_H
#define LMT_RESOLVE_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct elf_file;

/*
 * Opens and checks an x86-64 ELF file. *ret is the caller's, to be given to elf_free().
 * -ENOEXEC not such a file, -EFBIG too big, or the errno of open.
 */
int elf_open(const char *path, struct elf_file **ret, struct errmsg *err);
/* The same of a file that was opened, or failed to with that negative errno. Takes fd, also on failure. */
int elf_open_fd(int fd, const char *path, struct elf_file **ret, struct errmsg *err);
void elf_free(struct elf_file *f);

/*
 * Frees whatever was read, but for segments and build-id; what is asked for later is read again. Names
 * and bytes that were borrowed are gone.
 */
void elf_rest(struct elf_file *f);

/* The same, for good: the file is closed, and nothing can be read of it any more. */
void elf_close(struct elf_file *f);

/* Do both have the same bytes? Reads both, if nothing cheaper tells them apart. */
bool elf_same_bytes(const struct elf_file *a, const struct elf_file *b);

/* The open file; the ELF file's own. */
int elf_fd(const struct elf_file *f);

/* Lower-case hex of the GNU build-id; "" when there is none. Borrowed. */
const char *elf_build_id(const struct elf_file *f);

/* What to add to a vaddr, given that the file's offset is mapped at this target address. */
uint64_t elf_bias(const struct elf_file *f, uint64_t map_start, uint64_t map_offset);

/* File offset of a vaddr; false when the file has no byte for it. */
bool elf_offset_of(const struct elf_file *f, uint64_t vaddr, uint64_t *offset_ret);

/* len bytes of the file at vaddr, or NULL. Borrowed. */
const uint8_t *elf_data(const struct elf_file *f, uint64_t vaddr, size_t len);

struct elf_segment {
	uint64_t vaddr, offset;
	uint64_t filesz, memsz;
	bool writable, executable;
	const uint8_t *data; /* filesz bytes, or NULL; see elf_segment() */
};

/* The i-th loaded segment with its data read in, or NULL past the last. Borrowed. */
const struct elf_segment *elf_segment(struct elf_file *f, size_t i);
/* The same, without reading: where it lies. */
const struct elf_segment *elf_extent(const struct elf_file *f, size_t i);

/* True when the vaddr lies in an executable segment. */
bool elf_is_code(const struct elf_file *f, uint64_t vaddr);

/*
 * First place of the bytes in a segment that is not writable, from vaddr `from` on, or 0.
 */
uint64_t elf_find_bytes(struct elf_file *f, const void *bytes, size_t len, uint64_t from);

/* Address of a defined function or object by name; 0 if the file names no such thing. */
uint64_t elf_find_sym(struct elf_file *f, const char *name, const char **source_ret);

/* Is it no function but what chooses one at load time (memcpy() of glibc is)? */
bool elf_is_chooser(struct elf_file *f, uint64_t vaddr);

/* The words in its data that the loader fills with the address of an imported function, at most max. */
size_t elf_import_slots(struct elf_file *f, const char *name, uint64_t *ret, size_t max);

/* All addresses of that name, at most max: static functions of several sources may share one. */
size_t elf_find_all(struct elf_file *f, const char *name, uint64_t *ret, size_t max);

/* Address of the i-th symbol of the file's tables, or 0 past the last. */
uint64_t elf_symbol(struct elf_file *f, size_t i);

/* The name of the symbol at exactly this address, or NULL. Borrowed. */
const char *elf_name_at(struct elf_file *f, uint64_t vaddr);

/* A function's range from .eh_frame, in order of address, without overlaps. */
struct elf_function {
	uint64_t start, end;
	bool has_lsda; /* an exception can be caught or cleaned up in it */
};
const struct elf_function *elf_functions(struct elf_file *f, size_t *n_ret);
/* The one that holds vaddr, or NULL. */
const struct elf_function *elf_function_at(struct elf_file *f, uint64_t vaddr);

/* Name of the import behind a PLT stub (also by any jump inside the stub), or NULL. */
const char *elf_import_at(struct elf_file *f, uint64_t stub_vaddr);

/* The import a GOT slot is filled with at load time, or NULL. */
const char *elf_import_slot(struct elf_file *f, uint64_t slot_vaddr);

/* Value of a pointer in the file's data after relocation, as a vaddr; 0 if unknown. */
uint64_t elf_pointer(struct elf_file *f, uint64_t slot_vaddr);

#endif
