/* SPDX-License-Identifier: MIT */
/*
 * sweep: functions of a file without unwind tables, by where calls, addresses taken, pointers and
 * symbols lead. A range ends where the next begins; those that tables do tell stay as they are.
 * L2 resolve.
 */
#ifndef LMT_RESOLVE_SWEEP_H
#define LMT_RESOLVE_SWEEP_H

#include "elf.h"

/* *ret is the caller's, to be given to free(); its length, 0 when nothing is found or -ENOMEM. */
long sweep_functions(struct elf_file *f, struct elf_function **ret);

#endif
