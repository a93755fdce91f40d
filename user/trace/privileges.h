/* SPDX-License-Identifier: MIT */
/*
 * privileges: gives up what a running trace needs no more. L8 trace.
 */
#ifndef LMT_TRACE_PRIVILEGES_H
#define LMT_TRACE_PRIVILEGES_H

#include <stdint.h>

struct session;

/*
 * Keeps the capabilities that later attaches, reads and writes of this session take, drops all
 * others for good, and never gains new ones. What cannot be dropped is logged.
 */
void privileges_drop(const struct session *s);

/* Bits of the capabilities kept. Pure. */
uint64_t privileges_needed(const struct session *s);

#endif
