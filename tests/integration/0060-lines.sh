#!/bin/bash
# Each kind of object is charged to the line that made it: at least as many blocks as were kept.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

script=$ROOT/tests/lua/places.lua

check() { # name description command…
	local name=$1 text=$2 kind at n got
	shift 2
	start_gated "$name" "$@" "$script" gate
	start_trace "$name" -p "$target" -m exact --json
	open_gate
	wait_for 60 has_line '^done$' "$TMP/$name.out"
	stop_trace
	open_gate
	while read -r _ kind at n; do
		got=$(jq -r "select(.type == \"site\" and .kind == \"$kind\" and
			.stack[0].lua == \"@$script:$at\") | .live_blocks" "$TMP/$name.trace" |
			awk '{ s += $1 } END { print s + 0 }')
		[ $((got + $(faults "$TMP/$name.trace"))) -ge "$n" ]
		ok $? "$text: $kind at line $at: $got blocks live, $n kept"
	done < <(grep '^truth' "$TMP/$name.out")
	is "$(nothing_lost "$TMP/$name.trace")" true "$text: nothing lost"
}

for rt in $RUNTIMES; do
	check "$rt" "$rt" "$rt"
done
check luajit-off "luajit without JIT" luajit -joff
check luajit-hot "luajit, everything compiled" luajit -Ohotloop=2
done_testing
