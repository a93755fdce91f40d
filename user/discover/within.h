/* SPDX-License-Identifier: MIT */
/*
 * within: the door by which a file that a process names is opened: as that process sees it, never
 * beyond its root, and nothing but a regular file. L1 discover. Must not know ELF or Lua.
 *
 * A process may set links and devices where we look, and we are root: what a path leads to is asked
 * before it is opened, since the opening alone makes a device or a FIFO act.
 */
#ifndef LMT_DISCOVER_WITHIN_H
#define LMT_DISCOVER_WITHIN_H

#include <sys/types.h>

#define WITHIN_ROOT 32

/*
 * The folder that is the process's root: "/" if it sees the very files that we do, so that they
 * can be opened when it is gone.
 */
void within_root(pid_t pid, char root[WITHIN_ROOT]);

/*
 * What that process calls the file whose path we read in its /proc/PID/maps: there a path begins
 * at our root where that can be reached, not at its. Points into path.
 */
const char *within_name(const char *root, const char *path);

/*
 * Opens the regular file that the absolute path leads to for somebody whose root that is; links,
 * and "..", stay in it. The descriptor (read-only) is the caller's; or a negative errno, -EFBIG for
 * what is no regular file.
 */
int within_open(const char *root, const char *path);

/* The same for a path of our own, or a link of /proc that leads to a file whatever its name is. */
int within_open_own(const char *path);

#endif
