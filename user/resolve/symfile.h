/* SPDX-License-Identifier: MIT */
/*
 * symfile: a stripped file's symbols where distributions put them: compressed in the file itself
 * (.gnu_debugdata), under /usr/lib/debug by build id, beside the file by .gnu_debuglink, and, only
 * when allowed, from a debuginfod server. L2 resolve.
 */
#ifndef LMT_RESOLVE_SYMFILE_H
#define LMT_RESOLVE_SYMFILE_H

#include <stdbool.h>

#include "file.h"

/* Looked up when first asked for; NULL when there is none. Counts only with the same build id. */
struct elf_file *symfile_get(struct file *f);

/* Whether debuginfod may be asked: it tells a server what runs here. Off unless set. */
void symfile_allow_network(bool yes);

#endif
