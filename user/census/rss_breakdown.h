/* SPDX-License-Identifier: MIT */
/*
 * rss_breakdown: why a process is larger than what its Lua states count. Part of the stage census.
 *
 * Each resident page is put in one box by what it is mapped for; Lua's own bytes are then taken
 * out of the box they lie in, and what remains there is said as what it is: room of an allocator.
 */
#ifndef LMT_CENSUS_RSS_BREAKDOWN_H
#define LMT_CENSUS_RSS_BREAKDOWN_H

#include <stdint.h>

struct census;

#define RSS_PARTS(X)                                                                     \
	X(LUA, "lua_bytes", "Lua objects, as the VMs count them")                           \
	X(ABSENT, "lua_absent_bytes", "of these not in memory: never touched")              \
	X(LJ_FREE, "lua_allocator_free_bytes", "free in LuaJIT's own allocator")            \
	X(LJ_ROUND, "lua_allocator_overhead_bytes", "headers and rounding there")           \
	X(MACHINE_CODE, "machine_code_bytes", "machine code made at run time")              \
	X(HEAP_FREE, "c_heap_free_bytes", "free in the C library's heap")                   \
	X(HEAP, "c_heap_bytes", "C heap and other private memory besides Lua")              \
	X(STACKS, "stack_bytes", "stack of the main thread")                                \
	X(MODULES, "module_data_bytes", "written data of programs and libraries")           \
	X(FILES, "file_bytes", "code and files mapped, shared with others")                 \
	X(SHARED, "shared_bytes", "shared memory")                                          \
	X(REST, "rest_bytes", "counted by the kernel, seen nowhere")

enum rss_part {
#define RSS_PART(name, key, text) RSS_##name,
	RSS_PARTS(RSS_PART)
#undef RSS_PART
	RSS_MAX
};

struct rss_breakdown {
	uint64_t rss_bytes; /* 0: not known */
	int64_t bytes[RSS_MAX];
};

/* After census_take(), while the copy is still there. */
void rss_breakdown_build(struct census *c, struct rss_breakdown *ret);

const char *rss_part_key(enum rss_part part);
const char *rss_part_text(enum rss_part part);

#endif
