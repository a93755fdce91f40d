#!/bin/bash
# A thousand allocations at random points of a random program: each stack is what the target saw.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

check() { # name description command…
	local name=$1 text=$2 n missing
	shift 2
	start_gated "$name" "$@" "$ROOT/tests/lua/random.lua" gate 1000 "${SEED:-7}"
	start_trace "$name" -p "$target" -m exact --json --sample-bytes 1
	open_gate
	wait_for 60 has_line '^done$' "$TMP/$name.out"
	stop_trace
	open_gate
	# Lines that this script adds to a stack, of the resumer's helper, are not in the truth.
	jq -r 'select(.type == "site") | [.stack[] | select(.lua) | .lua] | join("|")' "$TMP/$name.trace" |
		sed "s#@[^|]*random.lua:[0-9]*|*##g; s/|*\$//" | sort -u >"$TMP/$name.got"
	sed -n 's/^point //p' "$TMP/$name.out" | sed "s#@[^|]*random.lua:[0-9]*|*##g; s/|*\$//" |
		sort >"$TMP/$name.want"
	n=$(wc -l <"$TMP/$name.want")
	[ "$n" -ge 1000 ]
	ok $? "$text: $n points"
	missing=$(sort -u "$TMP/$name.want" | comm -13 "$TMP/$name.got" - | tee "$TMP/$name.missing" | wc -l)
	is "$missing" 0 "$text: each of $(sort -u "$TMP/$name.want" | wc -l) stacks was seen, line by line"
	head -n 2 "$TMP/$name.missing" | cut -c1-400 | sed 's/^/# missing: /'
	is "$(jq -c 'select(.type == "end") | [.complete, .lost.stack_lost]' "$TMP/$name.trace")" \
		'[true,0]' "$text: nothing lost"
}

for rt in $RUNTIMES; do
	check "$rt" "$rt" "$rt"
done
check luajit-off "luajit without JIT" luajit -joff
done_testing
