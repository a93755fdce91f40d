#!/bin/bash
# The census adds up: what it finds is what the VM counts, to the byte, idle and running, one state
# and many; every state is found, no closed one is.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

# Records add up to the heap, whatever they are grouped by.
check_groups() { # name description
	local by
	for by in type site proto size metatable ctype; do
		"$TRACER" census -p "$target" --by "$by" --json >"$TMP/$1.$by" 2>"$TMP/$1.err"
		is "$(jq -s '([.[] | select(.type == "state") | .heap_bytes] | add) -
			([.[] | select(.type == "object") | .bytes] | add) -
			([.[] | select(.type == "state") | .difference_bytes] | add)' "$TMP/$1.$by")" 0 \
			"$2: objects by $by add up to the heap"
	done
}

for rt in $RUNTIMES; do
	start_gated "idle-$rt" "$rt" "$ROOT/tests/lua/census_plant.lua"
	"$TRACER" census -p "$target" --pause-budget 0 --json >"$TMP/idle" 2>"$TMP/idle.err"
	is $? 0 "$rt idle: census succeeds without stopping it"
	is "$(jq -c 'select(.type == "state") | [.counted, .difference_bytes, .threads]' "$TMP/idle")" \
		'[true,0,51]' "$rt idle: every byte found, and 51 coroutines"
	is "$(jq -c 'select(.type == "end") | [.complete, .longest_pause_ms]' "$TMP/idle")" '[true,0]' \
		"$rt idle: complete, never stopped"
	is "$(jq -c 'select(.type == "finding")' "$TMP/idle")" "" "$rt idle: no finding"
	check_groups "idle-$rt" "$rt"
	kill -9 "$target"

	"$rt" "$ROOT/tests/lua/census_busy.lua" >"$TMP/busy.out" 2>&1 &
	target=$!
	pids+=("$target")
	wait_for 20 has_line '^beat' "$TMP/busy.out"
	for _ in 1 2 3; do
		"$TRACER" census -p "$target" --pause-budget 1000 --json >"$TMP/busy" 2>"$TMP/busy.err"
		# LuaJIT may be caught between taking a block and putting it to use.
		is "$(jq -c --arg rt "$rt" 'select(.type == "state") | [.counted, if $rt == "luajit" then
			(.difference_bytes | fabs) * 200 <= .heap_bytes else .difference_bytes == 0 end]' \
			"$TMP/busy")" '[true,true]' "$rt running: every byte found"
	done
	kill -9 "$target"

	start_gated "many-$rt" "$HOSTS/census_states-$rt" -t 8 -s 25 -c 25 -k 20 -n 30
	"$TRACER" census -p "$target" --by type --json >"$TMP/many" 2>"$TMP/many.err"
	open_gate
	wait_for 10 has_line '^done$' "$TMP/many-$rt.out"
	is "$(jq -r 'select(.type == "state") | .L' "$TMP/many" | sort | tr '\n' ' ')" \
		"$(grep '^{' "$TMP/many-$rt.out" | jq -r '.states[]' | sort | tr '\n' ' ')" \
		"$rt: the 200 open states of 8 threads, and none of the 200 closed"
	is "$(jq -c 'select(.type == "state") | [.counted, .difference_bytes, .threads]' "$TMP/many" |
		sort | uniq -c | tr -s ' ')" ' 200 [true,0,20]' "$rt: every byte of every state found"
	open_gate
	wait "$target"
	is $? 0 "$rt: the target ends well"

	start_gated "large-$rt" "$HOSTS/census_states-$rt" -t 2 -s 5 -k 20 -n 3000 -m 600
	"$TRACER" census -p "$target" --json >"$TMP/large" 2>"$TMP/large.err"
	is "$(jq -c 'select(.type == "state") | [.counted, .difference_bytes, .threads]' "$TMP/large" |
		sort | uniq -c | tr -s ' ')" ' 10 [true,0,20]' "$rt in 600 MiB of other memory: counted"
	is "$(jq -c 'select(.type == "object" and .kind == "table" and .count > 3000) |
		.path[:1]' "$TMP/large" | sort | uniq -c | tr -s ' ')" ' 10 ["_G"]' "$rt: and who holds what"
	is "$(jq -c 'select(.type == "end") | .copied_bytes < 200 * 1048576' "$TMP/large")" true \
		"$rt: without copying all of it"
	open_gate
	open_gate
	wait "$target"
done
done_testing
