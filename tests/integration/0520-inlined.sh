#!/bin/bash
# Functions that the JIT inlined into a loop are on the stack all the same: each allocation of a
# line has the frames that the interpreter would have had.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

check() { # name description command…
	local name=$1 text=$2 point want all right
	shift 2
	start_gated "$name" "$@" "$ROOT/tests/lua/inlined.lua" gate 5000
	start_trace "$name" -p "$target" -m exact --json --sample-bytes 1
	open_gate
	wait_for 60 has_line '^done$' "$TMP/$name.out"
	stop_trace
	open_gate
	for point in leaf meta varargs pcall; do
		want=$(sed -n "s/^frame $point //p" "$TMP/$name.out" | paste -sd'|')
		read -r all right < <(jq -r 'select(.type == "site" and .stack[0].lua == "'"${want%%|*}"'") |
			[.allocs, ([.stack[] | select(.lua) | .lua] | join("|"))] | @tsv' "$TMP/$name.trace" |
			awk -F'\t' -v want="$want" '{ all += $1 } $2 == want { right += $1 }
				END { print all + 0, right + 0 }')
		[ "$all" -ge 5001 ] && [ "$right" = "$all" ]
		ok $? "$text: $point: $right of $all allocations with every inlined frame, 5001 made"
	done
	# No snapshot has it on the stack, it is so short: the line is its own, or marked.
	want=$(sed -n 's/^frame text //p' "$TMP/$name.out" | head -n 1)
	is "$(jq -s '[.[] | select(.type == "site" and .kind == "string") | select(.stack[0].lua == "'"$want"'"
			or .stack[0].approx) | .allocs] | add >= 5001' "$TMP/$name.trace")" true \
		"$text: text: at its own line, or marked as approximate"
	is "$(jq -c 'select(.type == "end") | .complete' "$TMP/$name.trace")" true "$text: nothing lost"
}

check luajit luajit luajit
check luajit-hot "luajit, everything compiled" luajit -Ohotloop=2
check luajit-off "luajit without JIT" luajit -joff
done_testing
