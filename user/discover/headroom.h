/* SPDX-License-Identifier: MIT */
/*
 * headroom: how much memory we may still take before the kernel kills somebody for it, most likely
 * the process that is looked at. L1 discover.
 */
#ifndef LMT_DISCOVER_HEADROOM_H
#define LMT_DISCOVER_HEADROOM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Bytes, the least of what the machine has and of what the cgroups we are in leave, versions 1 and
 * 2; what the kernel could give back of its caches counts as free. UINT64_MAX when nothing is
 * told. root: "" (a folder in tests).
 */
uint64_t headroom_bytes(const char *root);

struct memory_limit {
	uint64_t bytes, left; /* what may be used, and how much of it is not yet */
	const char *what;     /* "cgroup" or "RLIMIT_AS"; NULL: there is none */
};

/*
 * The limit that a process reaches first: of its cgroups, which it shares with the others in them,
 * or RLIMIT_AS. False: it has none. root as above.
 */
bool headroom_limit(const char *root, pid_t pid, struct memory_limit *ret);

#endif
