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

# Lua 5.1 and 5.4 make tables without storing the pc before: each line has its exact share all the same.
script=$ROOT/tests/lua/constructors.lua
for rt in $RUNTIMES; do
	case $rt in
	luajit) command="luajit -joff" ;;
	*) command=$rt ;;
	esac
	# shellcheck disable=SC2086 # options
	start_gated "made-$rt" $command "$script"
	start_trace "made-$rt" -p "$target" -m exact --json
	open_gate
	wait_for 60 has_line '^done$' "$TMP/made-$rt.out"
	stop_trace
	open_gate
	case $rt in # where no tag tells them apart, a table's parts count as tables
	lua5.1 | luajit) parts=2 ;;
	*) parts=0 ;;
	esac
	for want in MANY:20000 HALF:10000 FEW:200; do
		at=$(grep -n -- "-- ${want%:*}" "$script" | cut -d: -f1)
		got=$(jq -r "select(.type == \"site\" and .kind == \"table\" and .stack[0].lua == \"@$script:$at\") |
			.allocs" "$TMP/made-$rt.trace" | awk '{ s += $1 } END { print s + 0 }')
		[ $((got + $(faults "$TMP/made-$rt.trace"))) -ge "${want#*:}" ] &&
			[ "$got" -le $((${want#*:} * (1 + parts))) ]
		ok $? "$rt: tables made in line $at: $got of ${want#*:}"
	done
done
done_testing
