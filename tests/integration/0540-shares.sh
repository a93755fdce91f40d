#!/bin/bash
# What sampling says each caller keeps alive is what it keeps, within the error it prints; the sum
# over the stacks of a line is exact.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

line=$(grep -n 'local t = {} for' "$ROOT/tests/lua/shares.lua" | cut -d: -f1)

trace() { # name bytes command…
	local name=$1 bytes=$2
	shift 2
	start_gated "$name" "$@" "$ROOT/tests/lua/shares.lua" gate
	start_trace "$name" -p "$target" -m exact --json --sample-bytes "$bytes"
	open_gate
	wait_for 60 has_line '^done$' "$TMP/$name.out"
	stop_trace
	open_gate
	# caller, live bytes, allocations, error
	jq -r 'select(.type == "site" and (.stack[0].lua // "" | endswith("shares.lua:'"$line"'"))) |
		[.stack[1].name // "?", .live_bytes, .alloc_bytes, .error_pct, .samples] | @tsv' \
		"$TMP/$name.trace" >"$TMP/$name.tsv"
}

for rt in lua5.1 lua5.4 luajit; do
	trace "$rt-all" 1 "$rt"
	trace "$rt-some" 8k "$rt"
	# Not to the byte: a block of a trace that was let go before it was looked at has the line of
	# the trace's start, and while the kernel moves a page BPF cannot read a frame in it.
	awk -F'\t' 'FNR == NR { all += $3; next } { some += $3 }
		END { d = all - some; exit !(all && d * d <= (all / 10000) ^ 2) }' \
		"$TMP/$rt-all.tsv" "$TMP/$rt-some.tsv"
	ok $? "$rt: bytes allocated on the line are the same to a ten-thousandth"
	for caller in large medium small; do
		# The error is for 95 %; twice that for no doubt at all.
		verdict=$(awk -F'\t' -v c="$caller" '
			FNR == NR { if ($1 == c) want += $2; next }
			$1 == c { got += $2; v += ($4 * $2) ^ 2 }
			END { e = got ? sqrt(v) / got : 0; off = want ? 100 * (got - want) / want : 0
				printf "%s off by %.1f %%, printed error %.1f %%",
					(want && off <= 2 * e && -off <= 2 * e) ? "ok" : "bad", off, e }' \
			"$TMP/$rt-all.tsv" "$TMP/$rt-some.tsv")
		case $verdict in ok*) ok 0 "$rt: $caller $verdict" ;; *) ok 1 "$rt: $caller $verdict" ;; esac
	done
	gone=$(awk -F'\t' '$1 == "thrown_away" { s += $2 } { all += $2 } END { print 100 * s / all }' \
		"$TMP/$rt-some.tsv")
	awk -v g="$gone" 'BEGIN { exit !(g < 1) }'
	ok $? "$rt: the caller that keeps nothing has $gone % of what is live"
done
done_testing
