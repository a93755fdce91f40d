#!/bin/bash
# What the blocks of a line are is read off blocks that are theirs; and the VM's own table of
# strings is no line's.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

run() { # runtime what
	start_gated "$1-$2" "$1" "$ROOT/tests/lua/kinds.lua" gate "$2"
	start_trace "$1-$2" -p "$target" -m exact --json
	open_gate
	wait_for 60 has_line '^done$' "$TMP/$1-$2.out"
	stop_trace
	open_gate
}

line() { grep -n -- "-- $1" "$ROOT/tests/lua/kinds.lua" | cut -d: -f1; }

# sites NAME FILTER: live kinds and blocks, largest first
sites() { jq -sc "[.[] | select(.type == \"site\" and .live_blocks > 0) | select($2)] | sort_by(-.live_bytes) |
	map([.kind, .live_blocks])" "$TMP/$1.trace"; }

for rt in $RUNTIMES; do
	part=buffer
	[ "$rt" != luajit ] || part=table
	run "$rt" array
	is "$(sites "$rt-array" '.stack[0].lua // "" | endswith(":'"$(line ARRAY)"'")')" \
		"[[\"$part\",4000]]" "$rt: the arrays of tables are no other objects"
	run "$rt" strings
	is "$(sites "$rt-strings" '.stack[0].lua // "" | endswith(":'"$(line STRINGS)"'")' | jq -c '.[0]')" \
		'["string",4000]' "$rt: a line of strings has the strings only"
	is "$(jq -s '[.[] | select(.type == "site" and (.stack[0].lua | not)) | .live_bytes] | max >= 32768' \
		"$TMP/$rt-strings.trace")" true "$rt: the table of all strings is the VM's"
	run "$rt" code
	like "$(sites "$rt-code" '.live_blocks >= 4000 and .kind != "buffer"' | jq -c '.[0]')" '"proto"' \
		"$rt: most of what loading code makes is prototypes"
	run "$rt" closures
	is "$(sites "$rt-closures" '.stack[0].lua // "" | endswith(":'"$(line CLOSURES)"'")' | jq -c '.[0][0]')" \
		'"function"' "$rt: closures are functions"
done
done_testing
