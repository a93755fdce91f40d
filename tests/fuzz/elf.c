/* SPDX-License-Identifier: MIT */
/*
 * Hostile files through everything that reads files: ELF headers, segments, symbols, relocations,
 * unwind tables, separate symbols, the instruction decoder and the search for functions. A target
 * for libFuzzer, or for drive.c.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "resolve/cfi.h"
#include "resolve/choose.h"
#include "resolve/ehframe.h"
#include "resolve/functions.h"
#include "resolve/insn.h"
#include "resolve/known_bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libelf 0.188 loses a section's copy when that turns out to be malformed. */
const char *__lsan_default_suppressions(void)
{
	return "leak:libelf.so";
}

static int ignore_function(uint64_t start, uint64_t end, bool has_lsda, void *ctx)
{
	(void)has_lsda;
	*(uint64_t *)ctx += end - start;
	return 0;
}

/* The parsers of raw bytes alone: most inputs get no further than the ELF header. */
static void raw(const uint8_t *data, size_t size)
{
	uint64_t sum = 0;
	struct insn in;
	char text[64];

	ehframe_each(data, size, 0x1000, ignore_function, &sum);
	if (size >= 12)
		ehframe_from_hdr(data, size, 0x1000);
	for (size_t i = 0; i < size && i < 4096; i++)
		if (insn_decode(data + i, size - i, i, &in))
			insn_format(data + i, size - i, i, text, sizeof(text));
}

static void search(struct file *f)
{
	struct func_answer fn[FUNC_MAX] = { 0 };
	const struct identity *id = file_identity(f);
	uint64_t block;
	bool certain;

	/* Whatever it says it is: both families' methods, on code that is neither. */
	for (unsigned int family = LMT_FAMILY_PUC; family <= LMT_FAMILY_LUAJIT; family++) {
		memset(fn, 0, sizeof(fn));
		block = functions_find(f, family, id->number, fn);
		choose_by_file(family, id->version, block, f->code);
		known_bug_of(family, id->version, f->code, fn, 0, &certain);
	}
}

static void one_file(const char *path)
{
	struct file f = { .open_path = (char *)path, .path = (char *)path };
	struct cfi *cfi;
	struct cfi_row row;
	size_t n = 0;

	if (elf_open(path, &f.elf, &f.err))
		return;
	elf_bias(f.elf, 0x10000, 0);
	for (const struct elf_function *fn = elf_functions(f.elf, &n); n; n--, fn++)
		if (n % 64 == 0)
			elf_pointer(f.elf, fn->start);
	cfi = cfi_new(f.elf);
	if (cfi)
		cfi_row(cfi, 0x1000, &row);
	cfi_free(cfi);
	search(&f);
	code_free(f.code);
	elf_free(f.debug);
	elf_free(f.elf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("input", MFD_CLOEXEC);
	char path[64];

	raw(data, size);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	one_file(path);
	close(fd);
	return 0;
}
