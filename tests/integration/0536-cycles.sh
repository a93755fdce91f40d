#!/bin/bash
# Full collections are counted one by one, also in pairs and faster than the polls.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

cycles() { # runtime mode
	start_gated "$1-$2" "$1" "$ROOT/tests/lua/cycles.lua" gate
	start_trace "$1-$2" -p "$target" -m "$2" --json
	open_gate
	wait_for 60 has_line '^done$' "$TMP/$1-$2.out"
	sleep 0.1 # a poll
	stop_trace
	open_gate
	jq -s '[.[] | select(.type == "state" and .state > 0) | .gc_cycles] | max' "$TMP/$1-$2.trace"
}

for rt in $RUNTIMES; do
	for mode in exact watch; do
		n=$(cycles "$rt" "$mode")
		# one or two more may be steps of the collector's own
		[ "$n" -ge 200 ] && [ "$n" -le 202 ]
		ok $? "$rt, $mode: 200 collections in pairs are $n cycles"
	done
done
done_testing
