/* SPDX-License-Identifier: MIT */
/*
 * find_vm: the function of PUC Lua that runs Lua code. L2 resolve. Wanted only to put Lua's frames
 * where they belong among C's, so it is looked for when that is first asked.
 */
#ifndef LMT_RESOLVE_FIND_VM_H
#define LMT_RESOLVE_FIND_VM_H

#include <stdint.h>

#include "file.h"
#include "funcs.h"

/* Its vaddr; 0: not found. fn: what is known of the file's functions. */
uint64_t find_puc_vm(struct file *f, const struct func_answer *fn);

#endif
