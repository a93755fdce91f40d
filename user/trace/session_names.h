/* SPDX-License-Identifier: MIT */
/*
 * session_names: what addresses of the targets are called, learned while they live: strings,
 * stacks, and what of them is still on its way. L8 trace.
 */
#ifndef LMT_TRACE_SESSION_NAMES_H
#define LMT_TRACE_SESSION_NAMES_H

#include "base/strpool.h"
#include "collect/native_stack.h"
#include "collect/stackdb.h"
#include "find.h"
#include "resolve/memread.h"

/* Copies for the lines of sites whose target may be gone; the latest few. */
#define SESSION_COPIES 16
/* C stacks whose Lua side is still in the ring: at most one a thread that runs. */
#define SESSION_NATIVES 32

struct session_names {
	struct strpool *strings;
	struct stackdb stacks;
	struct lmt_memory copies[SESSION_COPIES];
	unsigned int n_copies;
	struct native_stack *natives; /* SESSION_NATIVES of them, with --native */
	unsigned int n_natives;
};

/* 0 or -ENOMEM. */
int names_init(struct session_names *n);
void names_deinit(struct session_names *n);

void names_keep_copy(struct session_names *n, const struct lmt_memory *copy);

/* The target's memory as it was when the site was met, as far as it was copied; the latest copy. */
void names_open_copies(const struct session_names *n, const struct memread *below, uint32_t slot,
		       uint32_t site, struct memread_copies *c, struct memread *ret);

/* Where the next C stack goes; NULL: out of memory. */
struct native_stack *names_next_native(struct session_names *n);

/* The C stack that belongs to a Lua stack, or NULL; good until the next one. */
const struct native_stack *names_take_native(struct session_names *n,
					     const struct lmt_stack_event *e);

#endif
