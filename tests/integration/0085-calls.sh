#!/bin/bash
# --trace: each allocator call is a line, and the lines add up to what the report says.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

lines_of() { jq -r "select(.type == \"call\" and .call == \"$1\") | .state" "$TMP/$2.trace" | wc -l; }
total_of() { jq -s "[.[] | select(.type == \"state\") | .$1] | add" "$TMP/$2.trace"; }

for rt in lua5.1 lua5.4 luajit; do
	start_gated "$rt" "$HOSTS/ledger-$rt" -f -b 1 "$ROOT/tests/lua/small.lua"
	start_trace "$rt" -p "$target" --trace --json
	open_gate
	wait_for 60 has_line '^done$' "$TMP/$rt.out"
	stop_trace
	is "$status" 0 "$rt: status 0"
	is "$(jq -c 'select(.type == "end") | .lost.calls_untold' "$TMP/$rt.trace")" 0 "$rt: no line was lost"
	is "$(head -n 1 "$TMP/$rt.trace" | jq -r .type)" header "$rt: the header comes first"
	is "$(jq -r 'select(.type == "header") | .mode' "$TMP/$rt.trace")" exact "$rt: once, and says exact"
	for pair in alloc:allocs free:frees realloc:reallocs refused:failures; do
		is "$(lines_of "${pair%:*}" "$rt")" "$(total_of "${pair#*:}" "$rt")" "$rt: as many lines of ${pair%:*} as calls"
	done
	[ "$(lines_of alloc "$rt")" -gt 100 ]
	ok $? "$rt: and there were some"
	# A block that is freed was handed out before with the same size, or is older than the trace.
	is "$(jq -c 'select(.type == "call") | [.call, .ptr, .old_ptr, .osize, .nsize]' "$TMP/$rt.trace" |
		jq -s 'reduce .[] as [$c, $p, $o, $os, $ns] ({live: {}, bad: 0};
			if $c == "alloc" then .live[$p] = $ns
			elif $c == "realloc" then del(.live[$o // $p]) | .live[$p] = $ns
			elif $c == "free" then (if .live[$p] and .live[$p] != $os then .bad += 1 else . end) | del(.live[$p])
			else . end) | .bad')" 0 "$rt: what is freed has the size it was given"
	like "$(jq -r 'select(.type == "call" and .call == "alloc") | .stack[0].lua // ""' "$TMP/$rt.trace" | sort -u)" \
		'small.lua:4' "$rt: with its line"
	open_gate
	wait "$target"
	is $? 0 "$rt: the target ends with status 0"
done

start_gated text "$HOSTS/ledger-lua5.4" "$ROOT/tests/lua/small.lua"
start_trace text -p "$target" -t
open_gate
wait_for 60 has_line '^done$' "$TMP/text.out"
stop_trace
like "$(cat "$TMP/text.trace")" 'alloc +0 +56 +0x[0-9a-f]+ +table +.*small.lua:4' "as text: size, block, kind, place"
like "$(cat "$TMP/text.trace")" 'nothing was lost' "and the report behind it"
open_gate
"$TRACER" -p $$ -t -m watch 2>"$TMP/err"
is $? 2 "not with -m watch"
"$TRACER" -p $$ -t --folded 2>"$TMP/err"
is $? 2 "nor with another thing that goes to stdout"
done_testing
