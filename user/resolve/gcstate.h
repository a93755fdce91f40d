/* SPDX-License-Identifier: MIT */
/*
 * gcstate: the collector's states by name. L2 resolve. Pure.
 */
#ifndef LMT_RESOLVE_GCSTATE_H
#define LMT_RESOLVE_GCSTATE_H

#include "layout.h"

/* "pause", "propagate", "atomic", "sweep", "finalize"; NULL for a number the version lacks. */
const char *gcstate_name(const struct lmt_layout *l, unsigned int gcstate);

#endif
