#!/bin/bash
# Who holds an object: by the names a programmer would use, or nobody.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

read_line=$(grep -n '^io.read()' "$ROOT/tests/lua/census_plant.lua" | cut -d: -f1)
short_line=$(grep -n 'yield(short)' "$ROOT/tests/lua/census_plant.lua" | cut -d: -f1)
yield_line=$(grep -n 'yield(mine)' "$ROOT/tests/lua/census_plant.lua" | cut -d: -f1)

path_of() { # what: its path in one line
	local at
	at=$(awk -v w="$1" '$1 == w { print $2 }' "$TMP/$name.out")
	"$TRACER" census -p "$target" --path "$at" --json 2>"$TMP/err" |
		jq -r 'select(.type == "object" and .address) |
			if .dead then "nobody" else .path | join(" → ") end'
}

for rt in $RUNTIMES; do
	name=paths-$rt
	start_gated "$name" "$rt" "$ROOT/tests/lua/census_plant.lua"
	is "$(path_of entry)" 'registry → _LOADED.cache → .entries[1042] → table' \
		"$rt: a table in a list of a module"
	is "$(path_of thread)" '_G → threads[7] → thread' "$rt: a coroutine in a global list"
	is "$(path_of upvalue)" '_G → handler → upvalue hidden → [33] → table' \
		"$rt: a table behind an upvalue, by its name"
	is "$(path_of weak)" nobody "$rt: what only a weak table refers to is garbage"
	is "$(path_of meta)" '_G → weak → metatable → table' "$rt: a metatable"
	like "$(path_of ephemeron)" '^_G → ephemeron\[0x[0-9a-f]+\] → table$' \
		"$rt: what an ephemeron table keeps for a key that lives"
	is "$(path_of local)" "main thread → local kept_here at @$ROOT/tests/lua/census_plant.lua:$read_line → table" \
		"$rt: what a local variable holds"
	like "$(path_of inner)" "^_G → waiting → (extra argument|local kept_there at .*:$short_line → \[1\]).* → table" \
		"$rt: and one of a coroutine"
	"$TRACER" census -p "$target" --json >"$TMP/json" 2>"$TMP/err"
	is "$(jq -c 'select(.type == "object" and .origin == "FILE*") | [.kind, .count]' "$TMP/json")" \
		'["userdata",4]' "$rt: userdata by the name of their metatable"
	is "$(jq -r 'select(.type == "object" and .kind == "thread" and .count == 50) | .origin' \
		"$TMP/json")" "@$ROOT/tests/lua/census_plant.lua:$yield_line" "$rt: coroutines by the line they wait at"
	is "$(jq -c 'select(.type == "holder") | select(.path[1] == "_LOADED.cache" and .path[2] == ".entries") |
		.retained_bytes > 2000 * 100' "$TMP/json")" true "$rt: what a table keeps alive"
	# All that hangs on the ring of 1000 tables goes with its head.
	ring=$(jq 'select(.type == "holder" and .path[1] == "ring_head") | .retained_bytes / .bytes' "$TMP/json")
	is "${ring%.*}" 1000 "$rt: a chain is kept by its head"
	"$TRACER" census -p "$target" --folded >"$TMP/folded" 2>"$TMP/err"
	like "$(cat "$TMP/folded")" '^state 1;registry;._LOADED;.cache;.entries;\[\*\];table [0-9]+$' \
		"$rt: folded stacks by reference"
	heap=$(jq 'select(.type == "state") | .heap_bytes - .dead_bytes' "$TMP/json")
	is "$(awk '{ s += $NF } END { print s }' "$TMP/folded")" "$heap" "$rt: folded stacks add up"
	kill -9 "$target"
done
done_testing
