/* SPDX-License-Identifier: MIT */
#include "c_alloc.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "block.h"

static const struct {
	const char *name;
	uint8_t what;
	unsigned int args;
	bool beside; /* only in files that have one of the others; without prefixed forms */
} functions[] = {
	{ "malloc", LMT_C_MALLOC, 0x1, false },
	{ "calloc", LMT_C_CALLOC, 0x3, false },
	{ "realloc", LMT_C_REALLOC, 0x3, false },
	{ "reallocarray", LMT_C_REALLOCARRAY, 0x7, false },
	{ "reallocf", LMT_C_REALLOC, 0x3, false },
	{ "memalign", LMT_C_ALIGNED, 0x3, false },
	{ "aligned_alloc", LMT_C_ALIGNED, 0x3, false },
	{ "posix_memalign", LMT_C_POSIX_MEMALIGN, 0x7, false },
	{ "valloc", LMT_C_MALLOC, 0x1, false },
	{ "pvalloc", LMT_C_MALLOC, 0x1, false },
	{ "free", LMT_C_FREE, 0x1, false },
	{ "cfree", LMT_C_FREE, 0x1, false },
	{ "free_sized", LMT_C_FREE, 0x1, false },
	{ "free_aligned_sized", LMT_C_FREE, 0x1, false },
	/* jemalloc's own interface; flags follow */
	{ "mallocx", LMT_C_MALLOC, 0x1, false },
	{ "rallocx", LMT_C_REALLOC, 0x3, false },
	{ "dallocx", LMT_C_FREE, 0x1, false },
	{ "sdallocx", LMT_C_FREE, 0x1, false },
	/* mimalloc's */
	{ "mi_zalloc", LMT_C_MALLOC, 0x1, true },
	{ "mi_malloc_small", LMT_C_MALLOC, 0x1, true },
	{ "mi_zalloc_small", LMT_C_MALLOC, 0x1, true },
	{ "mi_malloc_aligned", LMT_C_MALLOC, 0x1, true },
	{ "mi_realloc_aligned", LMT_C_REALLOC, 0x3, true },
	{ "mi_free_size", LMT_C_FREE, 0x1, true },
	{ "mi_free_aligned", LMT_C_FREE, 0x1, true },
	/* C++, where the allocator does it without malloc(). The operator new that may throw is left alone:
	 * an error would unwind through the return probe. */
	{ "_ZnwmRKSt9nothrow_t", LMT_C_MALLOC, 0x1, true },
	{ "_ZnamRKSt9nothrow_t", LMT_C_MALLOC, 0x1, true },
	{ "_ZdlPv", LMT_C_FREE, 0x1, true },
	{ "_ZdaPv", LMT_C_FREE, 0x1, true },
	{ "_ZdlPvm", LMT_C_FREE, 0x1, true },
	{ "_ZdaPvm", LMT_C_FREE, 0x1, true },
	{ "_ZdlPvRKSt9nothrow_t", LMT_C_FREE, 0x1, true },
	{ "_ZdaPvRKSt9nothrow_t", LMT_C_FREE, 0x1, true },
};
/* Allocators that are linked in beside the C library's, and wrappers, have names of their own for the same. */
static const char *const prefixes[] = { "", "je_", "tc_", "mi_", "rp", "rpl_", "__wrap_", "dl", "nedmalloc_" };

static bool is_known(const struct c_alloc_function *v, size_t n, uint64_t vaddr)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].vaddr == vaddr)
			return true;
	return false;
}

/* Enters a function of that name, if there is one; the new number of them. */
static size_t add(struct elf_file *f, size_t row, const char *prefix, struct c_alloc_function *v, size_t n)
{
	struct c_alloc_function *to = &v[n];

	snprintf(to->name, sizeof(to->name), "%s%s", prefix, functions[row].name);
	to->vaddr = elf_find_sym(f, to->name, NULL);
	to->what = functions[row].what;
	to->args = functions[row].args;
	return n + (to->vaddr && elf_is_code(f, to->vaddr) && !elf_is_chooser(f, to->vaddr) &&
		    !is_known(v, n, to->vaddr));
}

size_t c_alloc_find(struct elf_file *f, struct c_alloc_function *ret, size_t max)
{
	size_t n = 0, rows = sizeof(functions) / sizeof(functions[0]);

	if (elf_find_sym(f, "_rtld_global", NULL))
		return 0; /* glibc's loader has an allocator of its own, for itself */
	for (size_t p = 0; p < sizeof(prefixes) / sizeof(prefixes[0]); p++)
		for (size_t i = 0; n < max && i < rows; i++)
			n = functions[i].beside ? n : add(f, i, prefixes[p], ret, n);
	for (size_t i = 0; n && n < max && i < rows; i++)
		n = functions[i].beside ? add(f, i, "", ret, n) : n;
	return n;
}

const char *c_alloc_unseen(struct elf_file *f, size_t found)
{
	static const struct { const char *why, *text; } signatures[] = {
		{ "it has jemalloc in it, without the names of its functions", "<jemalloc>: " },
		{ "it has tcmalloc in it, without the names of its functions",
		  "TCMALLOC_LARGE_ALLOC_REPORT_THRESHOLD" },
		{ "it has mimalloc in it, without the names of its functions", "mimalloc: " },
		{ "it has glibc's malloc in it, without the names of its functions",
		  "malloc(): corrupted top size" },
	};

	if (found)
		return elf_find_sym(f, "_Znwm", NULL)
			? "its operator new is followed only where it calls malloc()" : NULL;
	for (size_t i = 0; i < sizeof(signatures) / sizeof(signatures[0]); i++)
		if (elf_find_bytes(f, signatures[i].text, strlen(signatures[i].text), 0))
			return signatures[i].why;
	return NULL;
}
