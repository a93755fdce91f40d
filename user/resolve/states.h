/* SPDX-License-Identifier: MIT */
/*
 * states: finds every live lua_State of a process in its memory: no symbols, no events, no stop.
 * L2 resolve.
 *
 * The main lua_State and its global_State are one allocation and the former points to the latter,
 * so (word − its own address) is a constant of the layout: one compare per aligned word finds
 * the candidates, the shape test decides.
 */
#ifndef LMT_RESOLVE_STATES_H
#define LMT_RESOLVE_STATES_H

#include <stdint.h>

#include "base/vec.h"
#include "discover/target.h"
#include "layouts.h"
#include "memread.h"
#include "shape.h"

#define STATE_ROWS 32

struct lua_state {
	uint64_t L, G;              /* main thread and global_State */
	const struct layout *layout; /* the chosen row; see runtime.h */
	const struct layout *rows[STATE_ROWS]; /* all rows the memory fits */
	size_t n_rows;
};

struct states {
	vec_of(struct lua_state) states; /* by address */
	uint64_t scanned_bytes, skipped_bytes; /* resident, not resident */
	uint64_t rejected[SHAPE_STEP_MAX];
};

/* Scans the writable memory. 0 or -ENOMEM; a process that dies meanwhile just yields less. */
int states_scan(const struct target *t, const struct memread *mem, struct states *ret);
void states_deinit(struct states *s);

/* Is it memory that a Lua heap may lie in, and that may be read without effects? */
bool states_may_hold(const struct proc_map *map);

/*
 * Checks one pair of addresses, as a scan that met it would. False when it is no state, or has memory
 * that the maps do not know: they are to be those of now.
 */
bool states_check(const struct proc_maps *maps, const struct memread *mem, uint64_t L, uint64_t G,
		  struct lua_state *ret);

/* What the VM says about its heap right now. */
struct state_gc {
	uint64_t heap_bytes; /* the VM's own total */
	uint8_t gcstate, white, kind;
	bool stopped;        /* by the program: it will not run by itself */
	uint64_t estimate;   /* heap after the latest full collection; 0: the version keeps none */
	uint64_t alloc, ud;  /* the allocator callback and its first argument */
};

/*
 * False when the global_State cannot be read any more, or is none: its memory was freed and holds
 * something else by now.
 */
bool states_read_gc(const struct memread *mem, const struct lmt_layout *l, uint64_t G,
		    struct state_gc *ret);

#endif
