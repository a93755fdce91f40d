#!/bin/bash
# Why a process is larger than what Lua counts: the parts add up to what the kernel counts, none is
# less than nothing, and what lies free in the allocators is told from what is in use.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

# What is there besides the parts, and parts that cannot be.
check_parts() { # file description
	is "$(jq -c 'select(.type == "memory") | del(.type, .pid) | .rss_bytes as $rss |
		[([to_entries[] | select(.key != "rss_bytes") | .value] | add) == $rss,
		 (.rest_bytes // 0 | fabs) <= 65536,
		 [to_entries[] | select(.value < 0 and .key != "lua_absent_bytes" and .key != "rest_bytes")]]' \
		"$1")" '[true,true,[]]' "$2: the parts add up, with nearly no rest"
}

for rt in $RUNTIMES; do
	start_gated "plant-$rt" "$rt" "$ROOT/tests/lua/census_plant.lua"
	"$TRACER" census -p "$target" --json >"$TMP/plant" 2>"$TMP/plant.err"
	check_parts "$TMP/plant" "$rt"
	is "$(jq -s '(map(select(.type == "memory")) | first.lua_bytes) ==
		(map(select(.type == "state") | .heap_bytes) | add)' "$TMP/plant")" true "$rt: Lua's part is the heap"
	kill -9 "$target"
done

# Arenas of three threads: half of their C heap is free, 64 MiB of each Lua heap never touched.
start_gated arena "$HOSTS/census_arena"
freed=$(awk '$1 == "freed" { print $2 }' "$TMP/arena.out")
"$TRACER" census -p "$target" --json >"$TMP/arena" 2>"$TMP/arena.err"
check_parts "$TMP/arena" "arenas"
is "$(jq --argjson f "$freed" 'select(.type == "memory") | .c_heap_free_bytes / $f | . > 0.95 and . < 1.1' \
	"$TMP/arena")" true "what threads have freed is free in the C library's heap"
is "$(jq 'select(.type == "memory") | -.lua_absent_bytes / 1048576 | round' "$TMP/arena")" 192 \
	"what was never touched is in no memory"
kill -9 "$target"

# Mostly not Lua: the memory is read where it is not copied.
start_gated large "$HOSTS/census_states-lua5.4" -t 1 -s 2 -n 1000 -m 300
"$TRACER" census -p "$target" --json >"$TMP/large" 2>"$TMP/large.err"
check_parts "$TMP/large" "300 MiB of other memory"
is "$(jq 'select(.type == "memory") | .c_heap_bytes > 190000000 and .c_heap_free_bytes < 1000000' \
	"$TMP/large")" true "300 MiB of other memory: in use, not free"
kill -9 "$target"
done_testing
