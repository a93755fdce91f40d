/* SPDX-License-Identifier: MIT */
/*
 * listen: "HOST:PORT" to a listening socket. L10 cli.
 * No resolver: a static binary has none that it could trust to be there.
 */
#ifndef LMT_CLI_LISTEN_H
#define LMT_CLI_LISTEN_H

#include <stdbool.h>

struct errmsg;

/*
 * HOST:PORT, [HOST]:PORT or :PORT (all IPv4 addresses); HOST is an address or "localhost". Returns
 * a socket that does not block, the caller's to close; -EINVAL, -EIO or -ENOMEM. *loopback: only
 * this machine reaches it.
 */
int listen_at(const char *address, bool *loopback, struct errmsg *err);

#endif
