#!/bin/bash
# States that come and go by the thousand, with Lua's own allocator: each is seen, none is left behind.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

births=300
for rt in $RUNTIMES; do
	start_gated "$rt" "$HOSTS/ledger-$rt" -l -t 2 -s 2 -b $births "$ROOT/tests/lua/small.lua"
	start_trace "$rt" -p "$target" -m exact --json
	open_gate
	wait_for 120 has_line '^done$' "$TMP/$rt.out"
	stop_trace
	is "$status" 0 "$rt: status 0"
	jq -c 'select(.type == "state" and .state > 0)' "$TMP/$rt.trace" >"$TMP/states"
	is "$(jq -c 'select(.born != "before-attach")' "$TMP/states" | wc -l)" $((2 * births)) \
		"$rt: every state born while tracing has its record"
	is "$(jq -c 'select(.born == "before-attach")' "$TMP/states" | wc -l)" 4 "$rt: and the older ones"
	is "$(jq -c 'select(.closed and .born != "before-attach")' "$TMP/states" | wc -l)" "$births" \
		"$rt: every other one was closed and says when"
	is "$(jq -c 'select(.closed and (.live_blocks != 0 or .live_bytes != 0))' "$TMP/states" | head -n 3)" "" \
		"$rt: a closed state leaves no block"
	is "$(jq -c 'select(.born != "before-attach" and .allocs < 50)' "$TMP/states" | head -n 3)" "" \
		"$rt: each allocated something"
	is "$(nothing_lost "$TMP/$rt.trace")" true "$rt: nothing lost"
	open_gate
	wait "$target"
	is $? 0 "$rt: the target ends well"
done
done_testing
