#!/bin/bash
# A table that grows element by element is a chain of reallocs at its line, and has a peak.
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
done_testing
