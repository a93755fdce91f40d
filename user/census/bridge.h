/* SPDX-License-Identifier: MIT */
/*
 * bridge: why a process is larger than what its Lua states count. Part of the stage census.
 *
 * Each resident page is put in one box by what it is mapped for; Lua's own bytes are then taken
 * out of the box they lie in, and what remains there is said as what it is: room of an allocator.
 */
#ifndef LMT_CENSUS_BRIDGE_H
#define LMT_CENSUS_BRIDGE_H

#include <stdint.h>

struct census;

#define BRIDGE_PARTS(X)                                                                     \
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

enum bridge_part {
#define BRIDGE_PART(name, key, text) BRIDGE_##name,
	BRIDGE_PARTS(BRIDGE_PART)
#undef BRIDGE_PART
	BRIDGE_MAX
};

struct bridge {
	uint64_t rss_bytes; /* 0: not known */
	int64_t bytes[BRIDGE_MAX];
};

/* After census_take(), while the copy is still there. */
void bridge_build(struct census *c, struct bridge *ret);

const char *bridge_key(enum bridge_part part);
const char *bridge_text(enum bridge_part part);

#endif
