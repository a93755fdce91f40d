/* SPDX-License-Identifier: MIT */
#include "c_alloc.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "block.h"
#include "code_paths.h"

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

/* The one function that is called so, as far as `knows` fits; 0: none, or several. */
static uint64_t only_target(const struct paths *p, unsigned int arg, uint8_t knows, int si)
{
	uint64_t found = 0;

	for (size_t i = 0; i < p->n; i++) {
		const struct path_call *c = &p->call[i];

		if (c->knows[arg] != knows)
			continue;
		if (!c->target || c->passes[0] != HOLDS_ARG + 1 || (si >= 0 && c->passes[1] != si) ||
		    (found && found != c->target))
			return 0;
		found = c->target;
	}
	return found;
}

static bool calls(const struct paths *p, uint64_t target)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->call[i].target == target)
			return true;
	return false;
}

/* realloc(NULL, n): what it hands n to, whose result is its own. */
static uint64_t malloc_of(struct elf_file *f, uint64_t realloc)
{
	static const uint8_t null[PATH_ARGS] = { ARG_ZERO, ARG_NOT_ZERO };
	uint64_t found = 0;
	struct paths p;

	paths_walk(f, realloc, null, &p);
	for (size_t i = 0; i < p.n; i++) {
		if (p.call[i].passes[0] != HOLDS_ARG + 1)
			continue; /* an initialisation before it */
		if (found && found != p.call[i].target)
			return 0;
		found = p.call[i].target;
	}
	for (size_t i = 0; i < p.n; i++) /* a way out with another result? */
		if (p.call[i].last && p.call[i].target != found)
			return 0;
	return p.incomplete || p.ends != p.results ? 0 : found;
}

size_t c_alloc_by_callback(struct elf_file *f, uint64_t callback, struct c_alloc_function *ret)
{
	static const uint8_t any[PATH_ARGS] = { 0 }, some[PATH_ARGS] = { ARG_NOT_ZERO };
	uint64_t to_free, to_realloc, to_malloc;
	struct paths p;

	paths_walk(f, callback, any, &p); /* (ud, ptr, osize, nsize) */
	to_free = only_target(&p, 3, ARG_ZERO, -1);
	to_realloc = only_target(&p, 3, ARG_NOT_ZERO, 3);
	if (p.incomplete || only_target(&p, 3, ARG_ANY, -1) || !to_free || !to_realloc || to_free == to_realloc)
		return 0;
	to_malloc = malloc_of(f, to_realloc);
	paths_walk(f, to_realloc, some, &p);
	if (!to_malloc || to_malloc == to_free || to_malloc == to_realloc || !calls(&p, to_free))
		return 0;
	ret[0] = (struct c_alloc_function){ "malloc", to_malloc, LMT_C_MALLOC, 0x1 };
	ret[1] = (struct c_alloc_function){ "realloc", to_realloc, LMT_C_REALLOC, 0x3 };
	ret[2] = (struct c_alloc_function){ "free", to_free, LMT_C_FREE, 0x1 };
	return 3;
}

const char *c_alloc_unseen(struct elf_file *f, size_t found, bool by_name)
{
	static const struct { const char *why, *text; } signatures[] = {
		{ "it has jemalloc in it, without the names of its functions", "<jemalloc>: " },
		{ "it has tcmalloc in it, without the names of its functions",
		  "TCMALLOC_LARGE_ALLOC_REPORT_THRESHOLD" },
		{ "it has mimalloc in it, without the names of its functions", "mimalloc: " },
		{ "it has glibc's malloc in it, without the names of its functions",
		  "malloc(): corrupted top size" },
	};

	if (found && by_name)
		return elf_find_sym(f, "_Znwm", NULL)
			? "its operator new is followed only where it calls malloc()" : NULL;
	/* glibc's, the last, is what was found then, if it is there */
	for (size_t i = 0; i < sizeof(signatures) / sizeof(signatures[0]) - (found > 0); i++)
		if (elf_find_bytes(f, signatures[i].text, strlen(signatures[i].text), 0))
			return signatures[i].why;
	return found ? "malloc(), realloc() and free() were found without their names, by Lua's calls; calloc() "
		       "and its kin are not followed" : NULL;
}
