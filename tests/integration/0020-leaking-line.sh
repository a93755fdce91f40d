#!/bin/bash
# The distribution's stripped interpreters: one state, and the leaking line comes first.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

script=$ROOT/tests/lua/leak.lua
line=$(grep -n 'LEAK' "$script" | cut -d: -f1)

for rt in $RUNTIMES; do
	"$rt" "$script" 60 >"$TMP/$rt.out" &
	target=$!
	pids+=("$target")
	wait_for 10 has_line '^ready$' "$TMP/$rt.out"
	"$TRACER" -p "$target" -m exact -d 6 --json >"$TMP/$rt.json" 2>"$TMP/$rt.err"
	is $? 0 "$rt: ends with status 0"
	is "$(jq -c 'select(.type == "state") | .state' "$TMP/$rt.json")" 1 "$rt: one state"
	like "$(jq -rs '[.[] | select(.type == "site")][0].stack[0].lua' "$TMP/$rt.json")" \
		"^@$script:$line\$" "$rt: the leaking line is first"
	like "$(jq -rs '[.[] | select(.type == "site")][0].verdict' "$TMP/$rt.json")" \
		'^(leak|growing)$' "$rt: with a verdict that says it grows"
	is "$(nothing_lost "$TMP/$rt.json")" true "$rt: nothing lost"
	"$TRACER" -p "$target" -m exact -d 1 --no-color >"$TMP/$rt.txt" 2>/dev/null
	like "$(cat "$TMP/$rt.txt")" "leak.lua:[0-9]+" "$rt: the text names lines too"
	kill "$target"
done
done_testing
