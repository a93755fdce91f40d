/* SPDX-License-Identifier: MIT */
/*
 * judge: what is said of each site after a look, from all that speaks for or against it.
 * L5 correlate. Pure.
 */
#ifndef LMT_HEAP_JUDGE_H
#define LMT_HEAP_JUDGE_H

#include "heap.h"

/* For heap.c: the snapshot was taken in. */
void judge_sites(struct heap *h, const struct snapshot *snap);

#endif
