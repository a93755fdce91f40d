#!/bin/bash
# Stacks of finalizers, debug hooks and error handlers: below them lies what they interrupted.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

check() { # name description command…
	local name=$1 text=$2 point want
	shift 2
	start_gated "$name" "$@" "$ROOT/tests/lua/interrupts.lua" gate
	start_trace "$name" -p "$target" -m exact --json --sample-bytes 1
	open_gate
	wait_for 60 has_line '^done$' "$TMP/$name.out"
	stop_trace
	open_gate
	jq -r 'select(.type == "site") | [.stack[] | select(.lua) | .lua] | join("|")' "$TMP/$name.trace" |
		sort -u >"$TMP/$name.got"
	for point in finalizer hook handler; do
		want=$(sed -n "s/^point $point //p" "$TMP/$name.out")
		[ -n "$want" ] && grep -Fxq -- "$want" "$TMP/$name.got"
		ok $? "$text: $point"
		grep -Fxq -- "$want" "$TMP/$name.got" || {
			echo "#   want $want"
			grep -F -- "${want%%|*}" "$TMP/$name.got" | sed 's/^/#   got  /'
		}
	done
	is "$(jq -c 'select(.type == "end") | .complete' "$TMP/$name.trace")" true "$text: nothing lost"
}

for rt in $RUNTIMES; do
	check "$rt" "$rt" "$rt"
done
check luajit-off "luajit without JIT" luajit -joff
done_testing
