/* SPDX-License-Identifier: MIT */
/* family: who descends from whom. L1 discover. */
#ifndef LMT_DISCOVER_FAMILY_H
#define LMT_DISCOVER_FAMILY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/vec.h"

typedef vec_of(pid_t) pid_list;

/*
 * All processes that descend from pid now, parents before children; *ret is emptied first. 0 or
 * -ENOMEM.
 */
int family_descendants(pid_t pid, pid_list *ret);

/*
 * The nearest of the n ancestors that pid descends from; 0: none of them, or that is not known any
 * more, since a process between them has ended.
 */
pid_t family_ancestor(pid_t pid, const pid_t *ancestors, size_t n);

#endif
