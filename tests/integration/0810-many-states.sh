#!/bin/bash
# Thousands of states in one process, others born and closed all the time, handed between threads.
# alone: measures what tracing costs
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }

sum() { jq -s "[.[] | select(.type == \"$1\") | .$2] | add" "$TMP/$3.trace"; }

for rt in lua5.4 luajit; do
	start_gated "many-$rt" "$HOSTS/many_states-$rt" 10000 200 4 6
	start_trace "many-$rt" -p "$target" -m exact --json
	before=$(ticks "$target")
	open_gate
	wait_for 40 has_line '^done$' "$TMP/many-$rt.out"
	used=$(ticks "$tracer") host=$(ticks "$target")
	echo "# $rt: tracer $used ticks, attach included; host $((host - before))"
	stop_trace
	is "$status" 0 "$rt: status 0"
	is "$(jq -c 'select(.type == "state" and .born == "before-attach") | .L' "$TMP/many-$rt.trace" | sort -u | wc -l)" \
		10000 "$rt: 10,000 states, each once"
	born=$(awk '/^runs/ { print $4 }' "$TMP/many-$rt.out")
	is "$(jq -c 'select(.type == "state" and .state > 0 and .born != "before-attach" and .closed) | .state' "$TMP/many-$rt.trace" |
		sort -u | wc -l)" "$born" "$rt: and each that was born and closed"
	is "$(jq -c 'select(.type == "end") | .lost | [.map_full, .state_full, .no_state, .replaced]' "$TMP/many-$rt.trace")" \
		'[0,0,0,0]' "$rt: every call has its state"
	is "$(sum state allocs "many-$rt")" "$(sum site allocs "many-$rt")" "$rt: states and sites add up"
	open_gate
done

# More closed states than are kept: the oldest are one record, and nothing of their sums is lost
start_gated sum "$HOSTS/many_states-lua5.3" 20 600 2 8
start_trace sum -p "$target" -m exact --json --max-states 500
open_gate
wait_for 30 has_line '^done$' "$TMP/sum.out"
sleep 1
stop_trace
is "$(jq -c 'select(.type == "state" and .label == "closed") | [has("pid"), has("L"), .live_blocks, .allocs == .frees]' \
	"$TMP/sum.trace")" '[false,false,0,true]' "--max-states: one record for the oldest closed states"
born=$(awk '/^runs/ { print $4 }' "$TMP/sum.out")
[ "$(jq -c 'select(.type == "state") | .state' "$TMP/sum.trace" | wc -l)" -lt "$((born / 2))" ]
ok $? "--max-states: others have none of their own"
is "$(sum state allocs sum)" "$(sum site allocs sum)" "--max-states: states and sites add up"
is "$(jq -c 'select(.type == "end") | .lost | [.state_full, .stack_full, .no_state]' "$TMP/sum.trace")" '[0,0,0]' \
	"--max-states: the tables never fill"
open_gate
done_testing
