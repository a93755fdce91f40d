/* SPDX-License-Identifier: MIT */
/* Names by BCC's library instead of elfutils: for builds with WITH_BCC=1. */
#include "symbols.h"

#include <bcc/bcc_syms.h>

#define CACHES 64 /* processes whose symbols are kept: the one asked for longest ago makes room */

static struct {
	pid_t pid;
	void *syms;
} caches[CACHES];
static unsigned int next_cache;

static void *cache_of(pid_t pid)
{
	struct bcc_symbol_option option = { .use_debug_file = 1, .check_debug_file_crc = 1,
					    .lazy_symbolize = 1,
					    .use_symbol_type = 1u << 2 | 1u << STT_GNU_IFUNC };
	unsigned int i;

	for (i = 0; i < CACHES; i++)
		if (caches[i].syms && caches[i].pid == pid)
			return caches[i].syms;
	i = next_cache++ % CACHES;
	if (caches[i].syms)
		bcc_free_symcache(caches[i].syms, caches[i].pid);
	caches[i].pid = pid;
	caches[i].syms = bcc_symcache_new(pid, &option);
	return caches[i].syms;
}

const char *symbols_name_bcc(pid_t pid, uint64_t uaddr)
{
	void *cache = cache_of(pid);
	struct bcc_symbol sym = { 0 };

	if (!cache)
		return NULL;
	if (bcc_symcache_resolve_no_demangle(cache, uaddr, &sym) && !sym.module) {
		bcc_symcache_refresh(cache); /* a library that was mapped since */
		bcc_symcache_resolve_no_demangle(cache, uaddr, &sym);
	}
	return sym.name && *sym.name ? sym.name : NULL;
}
