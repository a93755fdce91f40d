#!/bin/bash
# A table that grows element by element is a chain of reallocs at its line, and has a peak. A line whose
# blocks are thrown away at once is told from one whose blocks stay.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

script=$ROOT/tests/lua/chain.lua
line=$(grep -n CHAIN "$script" | cut -d: -f1)
for rt in $RUNTIMES; do
	start_gated "$rt" "$rt" "$script" gate
	start_trace "$rt" -p "$target" -m exact --json
	open_gate
	wait_for 60 has_line '^done$' "$TMP/$rt.out"
	stop_trace
	open_gate
	read -r n peak live < <(jq -r 'select(.type == "site" and .stack[0].lua == "@'"$script:$line"'") |
		[.reallocs, .peak_bytes, .live_bytes] | @tsv' "$TMP/$rt.trace" |
		awk '{ n += $1; p += $2; l += $3 } END { print n + 0, p + 0, l + 0 }')
	# Doubled from 1 to 1024; where the first sizes are new blocks, a few less.
	[ "$n" -ge 6 ] && [ "$n" -le 12 ]
	ok $? "$rt: the table grew $n times"
	[ "$live" -ge 8192 ] && [ "$peak" -ge "$live" ]
	ok $? "$rt: its peak, $peak bytes, is at least what is live, $live"
done

script=$ROOT/tests/lua/temporary.lua
share() { # line: percent of its bytes that were temporary
	local n
	n=$(grep -n "$1" "$script" | cut -d: -f1)
	jq -r 'select(.type == "site" and .stack[0].lua == "@'"$script:$n"'") | [.temporary_bytes // 0, .alloc_bytes] |
		@tsv' "$TMP/temp-$rt.trace" | sort -u | awk '{ t += $1; a += $2 } END { printf "%d", a ? 100 * t / a : -1 }'
}
for rt in lua5.1 lua5.4; do
	start_gated "temp-$rt" "$rt" "$script" gate
	start_trace "temp-$rt" -p "$target" -m exact --json --sample-bytes 512 -w "$TMP/temp-$rt.db"
	open_gate
	wait_for 60 has_line '^done$' "$TMP/temp-$rt.out"
	stop_trace
	open_gate
	thrown=$(share THROWN)
	kept=$(share KEPT)
	[ "$thrown" -ge 50 ]
	ok $? "$rt: of what is thrown away at once $thrown % is temporary"
	[ "$kept" -ge 0 ] && [ "$kept" -le 10 ]
	ok $? "$rt: of what stays $kept %"
	is "$("$TRACER" report "$TMP/temp-$rt.db" --json | jq -c 'select(.type == "site") | .temporary_bytes' | sort)" \
		"$(jq -c 'select(.type == "site") | .temporary_bytes' "$TMP/temp-$rt.trace" | sort)" "$rt: the file says the same"
done
done_testing
