/* SPDX-License-Identifier: MIT */
/*
 * memory: where the resident memory of a process is, and what of it grows. L5 correlate. Pure.
 *
 * The parts add up to the resident size. What is measured of one part while another changes ends up
 * in the wrong one for a moment; growth is therefore asked of the lowest over stretches of time.
 */
#ifndef LMT_HEAP_MEMORY_H
#define LMT_HEAP_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

/*	X(ID, name in JSON, text) */
#define MEMORY_PARTS(X)                                                 \
	X(LUA, "lua_bytes", "Lua")                                      \
	X(GARBAGE, "lua_garbage_bytes", "garbage of Lua")               \
	X(FREE, "allocator_free_bytes", "free in allocators")           \
	X(NATIVE, "native_bytes", "C heap")                             \
	X(OVERHEAD, "allocator_overhead_bytes", "headers of allocators") \
	X(CODE, "machine_code_bytes", "machine code made at run time")  \
	X(STACK, "stack_bytes", "stack")                                \
	X(FILE, "file_bytes", "programs, libraries, files")             \
	X(SHARED, "shared_bytes", "shared memory")                      \
	X(REST, "rest_bytes", "other")

enum memory_part {
#define MEMORY_ENUM(id, key, text) MEMORY_##id,
	MEMORY_PARTS(MEMORY_ENUM)
#undef MEMORY_ENUM
	MEMORY_MAX
};

const char *memory_part_key(enum memory_part p);
const char *memory_part_text(enum memory_part p);

/* A process at one moment; bytes. */
struct memory_point {
	uint64_t ms;     /* since the start of the trace */
	uint64_t rss;    /* 0: not known */
	uint64_t part[MEMORY_MAX];
};

/* Up to so many points, spread over all of the time: when it is full every other one goes. */
#define MEMORY_POINTS 64
struct memory_series {
	struct memory_point p[MEMORY_POINTS];
	unsigned int n;
	uint64_t step_ms; /* the least between two */
};

/* All zero but for step_ms at the start. */
void memory_series_add(struct memory_series *s, const struct memory_point *p);

/* The same, but when it is full the oldest goes: of the latest time only. */
void memory_series_roll(struct memory_series *s, const struct memory_point *p);

/*
 * From the lowest in the first half of the time to that in the second, bytes a second, of a part
 * or, with MEMORY_MAX, of all; 0: not yet known.
 */
double memory_growth(const struct memory_series *s, enum memory_part part);

bool memory_growth_known(const struct memory_series *s);

/*
 * Does the part rise all the time, so that it is no buffer that fills and no sawtooth? Bytes a
 * second; 0: it does not, or that is not known yet.
 */
double memory_rises(const struct memory_series *s, enum memory_part part);

#endif
