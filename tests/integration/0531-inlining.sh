#!/bin/bash
# Allocations at random places of a random program under the JIT, in functions inlined into each
# other, behind side exits and by built-ins: each line and each caller is that of the interpreter,
# or it is marked as approximate. The size of a block tells which place made it.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

PLACES=${PLACES:-120}

run() { # name seed luajit option…: $TMP/NAME.calls: "size line"; .sites: "size allocs line|line~|…"
	local name=$1 seed=$2
	shift 2
	start_gated "$name" "$@" "$ROOT/tests/lua/inlining.lua" gate "$PLACES" "$seed"
	start_trace "$name" -p "$target" -m exact -t --json --sample-bytes 1
	open_gate
	wait_for 100 has_line '^done$' "$TMP/$name.out"
	stop_trace
	open_gate
	jq -r 'select(.type == "call" and .call == "alloc" and .stack) | [.nsize, .stack[0].lua] | @tsv' \
		"$TMP/$name.trace" >"$TMP/$name.calls"
	jq -r 'select(.type == "site" and .allocs > 0 and .stack[0].lua) |
		(.alloc_bytes / .allocs) as $mean | # of a table and its array
		[(if .kind == "table" and $mean > 64 then 2 * $mean - 64 else $mean end), .allocs,
		 (.stack[0].jit // false), # the recorder of traces allocates outside them
		 ([.stack[] | select(.lua) | .lua + (if .approx then "~" else "" end)] | join("|"))] | @tsv' \
		"$TMP/$name.trace" >"$TMP/$name.sites"
}

# The line of each size of block, where the interpreter made nearly all of that size; and its size.
# shellcheck disable=SC2016  # awk's own fields
truth='{ all[$1]++
	if (++made[$1, $2] > most[$1]) { most[$1] = made[$1, $2]; line[$1] = $2; size[$2] = $1 } next }
	function known(n) { return n >= 280 && most[n] >= 20 && most[n] >= all[n] - 2 }'

# "places exact approximate-right approximate-wrong wrong": places, and allocations by what was said
lines() { # truth name
	awk -F'\t' "NR == FNR $truth"'
		$3 != "true" { next }
		{ split($4, got, "|"); at = got[1] }
		known($1) { seen[$1] = 1 }
		at ~ /~$/ { if (known($1)) guess[at == line[$1] "~"] += $2; next }
		known($1) ? at == line[$1] : !known(size[at]) { exact += known($1) ? $2 : 0; next }
		{ wrong += $2; print $2 " of size " $1 ": " $4 ", not " line[$1] > "/dev/stderr" }
		END { for (s in seen) places++
		      print places + 0, exact + 0, guess[1] + 0, guess[0] + 0, wrong + 0 }' \
		"$TMP/$1.calls" "$TMP/$2.sites" 2>"$TMP/$2.wrong"
}

# Stacks that the interpreter never had at the size's line, from the outermost frame on to one that
# is marked: what is above that is not known.
impossible() { # truth name
	awk -F'\t' "FILENAME == ARGV[1] $truth"'
		FILENAME == ARGV[2] { split($4, own, "|"); stack[own[1], ++n[own[1]]] = $4; next }
		$3 != "true" || !known($1) { next }
		{ m = split($4, got, "|"); at = line[$1]; right = 0
		  for (k = 1; k <= n[at] && !right; k++) {
			more = split(stack[at, k], want, "|") - m
			for (f = m; f > 0 && got[f] == want[f + more]; f--) ;
			right = f ? got[f] ~ /~$/ : !more
		  }
		  if (!right) print $2 " of size " $1 ": " $4 ", not " stack[at, 1] }' \
		"$TMP/$1.calls" "$TMP/$1.sites" "$TMP/$2.sites"
}

check() { # seed name description option…
	local name=$2 text="seed $1, $3" places exact near far wrong
	run "$2" "$1" luajit "${@:4}"
	read -r places exact near far wrong < <(lines off "$name")
	[ "$exact" -gt 0 ] && [ "$places" -ge $((PLACES / 4)) ]
	ok $? "$text: $places places; lines exact $exact, marked approximate $near right and $far not"
	is "$wrong" 0 "$text: no line is wrong and not marked"
	head -n 3 "$TMP/$name.wrong" | cut -c1-300 | sed 's/^/# /'
	is "$(impossible off "$name" | tee "$TMP/$name.impossible" | wc -l)" 0 "$text: no stack that never was"
	head -n 3 "$TMP/$name.impossible" | cut -c1-300 | sed 's/^/# /'
	is "$(jq -c 'select(.type == "end") | .complete' "$TMP/$name.trace")" true "$text: nothing lost"
}

for seed in ${SEEDS:-$((RANDOM % 1000 + 1))}; do
	run off "$seed" luajit -joff
	check "$seed" on luajit
	check "$seed" hot "everything compiled" -Ohotloop=2 -Ohotexit=2
done
done_testing
