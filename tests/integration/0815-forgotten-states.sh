#!/bin/bash
# States that are made and never closed are told, with who makes them; a pool, and states that go with
# what they are for, are not.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

run() { # runtime what mode seconds
	start_gated "$1-$2" "$HOSTS/forgets-$1" "$2"
	start_trace "$1-$2" -p "$target" -m "$3" --json
	open_gate
	sleep "$4"
	stop_trace
	kill "$target"
}

told() { # name filter
	jq -sc "[.[] | select(.type == \"finding\" and .kind == \"states-not-closed\")] | last | $2" "$TMP/$1.trace"
}

for rt in lua5.1 lua5.4 luajit; do
	modes=watch
	[ "$rt" != lua5.4 ] || modes='exact watch'
	for mode in $modes; do
		run "$rt" bad "$mode" 14
		is "$(told "$rt-bad" '[.severity, .evidence.function, .evidence.closed, .evidence.born > 150,
			.evidence.born == .evidence.open, .stack[0].native, .evidence.bytes > 1000000]')" \
			'["warning","read_policy",0,true,true,"read_policy",true]' \
			"$rt, $mode: states that are forgotten are told, and who makes them"
	done
	run "$rt" ok watch 14
	is "$(told "$rt-ok" .)" null "$rt: a state that takes the place of the last is no finding"
	like "$(jq -s '[.[] | select(.type == "state") | .heap_bytes // 0] | max < 1e9' "$TMP/$rt-ok.trace")" true \
		"$rt: no heap is read from a state that is gone"
done
run lua5.4 pool exact 14
is "$(told lua5.4-pool .)" null "a pool that is full is no finding"
run lua5.4 sessions exact 14
is "$(told lua5.4-sessions .)" null "states that are closed later are no finding"
run lua5.4 bad watch 40
is "$(told lua5.4-bad '[.severity, .confidence]')" '["error","likely"]' "after a while nothing runs in them: it is an error"
done_testing
