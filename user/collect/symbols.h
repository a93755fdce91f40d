/* SPDX-License-Identifier: MIT */
/*
 * symbols: which function of which file a code address is in. L4 collect. The one interface that
 * everything native is named through.
 */
#ifndef LMT_COLLECT_SYMBOLS_H
#define LMT_COLLECT_SYMBOLS_H

#include <stdbool.h>
#include <stdint.h>

#include "discover/target.h"
#include "resolve/file.h"

struct symbol {
	const char *name;   /* borrowed; NULL: the file does not say */
	const char *module; /* path as the target names it; borrowed until the next refresh */
	uint64_t offset;    /* of the address in the file */
};

/* Names alone, by elfutils, or by BCC (builds with WITH_BCC=1). Borrowed; NULL: the file does not say. */
const char *symbols_name_elf(struct file *f, uint64_t vaddr);
const char *symbols_name_bcc(pid_t pid, uint64_t uaddr);

/* False when the address lies in no file. */
bool symbols_find(const struct target *t, struct files *files, uint64_t uaddr, struct symbol *ret);

#endif
