#!/bin/bash
# The whole stack of a planted allocation is what the target itself sees there, frame by frame and
# name by name: through coroutines, a sort callback, pcall, varargs, a metamethod, recursion, a tail
# call.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

frames='if .lua then "LUA \(.lua) \(.name // "?")" elif .native then "C \(.name // .native)" else "…" end
	+ (if .tail then " (tail)" else "" end)'

check() { # name description command…
	local name=$1 text=$2 first n
	shift 2
	start_gated "$name" "$@" "$ROOT/tests/lua/deep.lua" gate
	start_trace "$name" -p "$target" -m exact --json --sample-bytes 1
	open_gate
	wait_for 60 has_line '^done$' "$TMP/$name.out"
	stop_trace
	open_gate
	sed -n 's/^frame //p' "$TMP/$name.out" >"$TMP/$name.want"
	n=$(wc -l <"$TMP/$name.want")
	[ "$n" -ge 17 ]
	ok $? "$text: the target wrote its $n frames"
	first=$(awk 'NR == 1 { print $2 }' "$TMP/$name.want")
	jq -r "select(.type == \"site\" and .stack[0].lua == \"$first\") |
		([.stack[:$n][] | $frames] | join(\"|\"))" "$TMP/$name.trace" | sort -u >"$TMP/$name.got"
	is "$(cat "$TMP/$name.got")" "$(paste -sd'|' "$TMP/$name.want")" "$text: each frame and name is the same"
	is "$(jq -c 'select(.type == "site" and .stack[0].lua == "'"$first"'") |
		.stack[-1] | has("native")' "$TMP/$name.trace" | sort -u)" true "$text: the host program is outermost"
	is "$(jq -c 'select(.type == "end") | [.complete, .lost.stack_lost]' "$TMP/$name.trace")" \
		'[true,0]' "$text: nothing lost"
}

for rt in $RUNTIMES; do
	check "$rt" "$rt" "$rt"
done
check luajit-off "luajit without JIT" luajit -joff
check luajit-hot "luajit, everything compiled" luajit -Ohotloop=1

# A stack deeper than asked for says so.
start_gated deep lua5.4 "$ROOT/tests/lua/deep.lua" gate
start_trace deep -p "$target" -m exact --json --sample-bytes 1 --stack-depth 5
open_gate
wait_for 60 has_line '^done$' "$TMP/deep.out"
stop_trace
open_gate
first=$(sed -n 's/^frame LUA \([^ ]*\).*/\1/p' "$TMP/deep.out" | head -n 1)
is "$(jq -c "select(.type == \"site\" and .stack[0].lua == \"$first\") | .stack |
	[length, .[-1].truncated]" "$TMP/deep.trace" | sort -u)" '[6,true]' "a stack deeper than asked for is marked"
done_testing
