/* SPDX-License-Identifier: MIT */
/*
 * calls: what a Lua thread is in the middle of, out of the image: its calls from the innermost
 * outwards, and what its stack slots are called. Part of the stage census.
 */
#ifndef LMT_CENSUS_CALLS_H
#define LMT_CENSUS_CALLS_H

#include "base/strpool.h"
#include "walk.h"

struct call {
	uint64_t slot;  /* on the stack: its function */
	uint64_t base;  /* its first local variable; up to 5.3 extra arguments lie before it */
	uint64_t extras; /* 5.4: where they begin, before the function; else the function */
	uint64_t proto; /* 0: a C function */
	uint64_t pc;    /* 0: not known */
	bool extra;     /* LuaJIT: only where a call's extra arguments lie */
};

struct calls {
	const struct walk *w;
	uint64_t thread, at, pc;
	unsigned int n;
	bool extra;
};

void calls_init(struct calls *c, const struct walk *w, uint64_t thread);
bool calls_next(struct calls *c, struct call *ret);

/* "app.lua:12", where the call is; 0: not known. */
uint32_t calls_origin(const struct walk *w, const struct call *call, struct strpool *pool);

/* "local cache at @app.lua:12"; where debug information is missing, the number of the slot. */
void calls_slot_name(const struct walk *w, uint64_t thread, uint64_t slot, char *out, size_t size);

#endif
