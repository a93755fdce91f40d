/* SPDX-License-Identifier: MIT */
/*
 * prepare: what is changed in our programs after libbpf has relocated them, before the kernel
 * sees them. L3 attach, private to this folder.
 */
#ifndef LMT_ATTACH_PREPARE_H
#define LMT_ATTACH_PREPARE_H

#include "kfunc.h"

/*
 * Objects that are opened from here on get these functions of the kernel, by their BTF ids, 0 for
 * one that it has not. 0 or a negative errno.
 */
int prepare_programs(const int kfuncs[LMT_KFUNCS]);

#endif
