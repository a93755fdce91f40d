#!/bin/bash
# What looks wrong about a heap before it hurts: two copies of Lua on one state, C data that points
# at freed memory. Healthy programs of the same make have no finding.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

findings() { jq -c 'select(.type == "finding")' "$1"; }

for rt in $RUNTIMES; do
	host=$HOSTS/census_twice-$rt
	library=$(ldd "$host" | awk '/liblua/ { print $3; exit }')
	start_gated "own-$rt" "$host" "$library" own 300
	"$TRACER" census -p "$target" --json >"$TMP/own" 2>"$TMP/own.err"
	is "$(jq -s -c '[.[] | select(.type == "state")] | [length, ([.[] | select(.counted)] | length)]' "$TMP/own")" \
		'[2,2]' "$rt, two copies, each with a state: both counted"
	is "$(findings "$TMP/own")" "" "$rt, each copy on its own state: no finding"
	kill -9 "$target"
	[ "$rt" = luajit ] && continue # its empty node is inside the state: nothing to tell copies by
	start_gated "foreign-$rt" "$host" "$library" foreign 300
	"$TRACER" census -p "$target" --json --exit-code >"$TMP/foreign" 2>"$TMP/foreign.err"
	is $? 1 "$rt, a copy on the other's state: --exit-code tells"
	is "$(findings "$TMP/foreign" | jq -c '[.kind, .evidence.foreign_nodes, .evidence.frees_static_memory]')" \
		"[\"cross-runtime\",300,$(case $rt in lua5.1 | lua5.2) echo true ;; *) echo false ;; esac)]" \
		"$rt: its 300 tables are found, and whether they will crash"
	is "$(findings "$TMP/foreign" | jq -r '.evidence | .home_module, .foreign_module' | sort -u)" \
		"$(readlink -f "$library")" "$rt: both modules are named"
	kill -9 "$target"
done

for jit in -jon -joff; do
	start_gated "ffi$jit" luajit $jit "$ROOT/tests/lua/census_ffi.lua" healthy
	"$TRACER" census -p "$target" --json >"$TMP/healthy" 2>"$TMP/healthy.err"
	is "$(findings "$TMP/healthy")" "" "luajit $jit, healthy C data: no finding"
	is "$(jq -c 'select(.type == "object" and .origin == "struct census_buffer") | .count' "$TMP/healthy")" \
		20001 "luajit $jit: C data by type"
	kill -9 "$target"
	start_gated "bad$jit" luajit $jit "$ROOT/tests/lua/census_ffi.lua" dangling
	"$TRACER" census -p "$target" --json >"$TMP/bad" 2>"$TMP/bad.err"
	is "$(findings "$TMP/bad" | jq -c '[.kind, .confidence, .evidence.ctype, .evidence.member]')" \
		'["use-after-free","possible","struct census_buffer","data"]' \
		"luajit $jit: a member that points at freed memory"
	is "$(findings "$TMP/bad" | jq -r '.evidence.path | join(" → ")')" \
		'_G → holder.buf → cdata' "luajit $jit: and who holds it"
	kill -9 "$target"
done
done_testing
