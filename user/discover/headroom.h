/* SPDX-License-Identifier: MIT */
/*
 * headroom: how much memory we may still take before the kernel kills somebody for it, most likely
 * the process that is looked at. L1 discover.
 */
#ifndef LMT_DISCOVER_HEADROOM_H
#define LMT_DISCOVER_HEADROOM_H

#include <stdint.h>

/*
 * Bytes, the least of what the machine has and of what the cgroups we are in leave, versions 1 and
 * 2; what the kernel could give back of its caches counts as free. UINT64_MAX when nothing is
 * told. root: "" (a folder in tests).
 */
uint64_t headroom_bytes(const char *root);

#endif
