#!/bin/bash
# What tracing costs is measured and told; above --max-overhead only windows are seen, and still the
# leaking line comes first and nothing is called that is not there.
# alone: measures what tracing costs
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

script=$ROOT/tests/lua/leak.lua
line=$(grep -n 'LEAK' "$script" | cut -d: -f1)
end='select(.type == "end")'

start_script() { # runtime script args…
	rm -f "$TMP/out" # what the one before wrote is no sign that this one runs
	"$@" >"$TMP/out" 2>&1 &
	target=$!
	pids+=("$target")
	wait_for 20 test -s "$TMP/out"
}

# The verdict and line of the first site of the latest report.
first_site() { # file
	jq -c 'select(.type == "site" or .type == "interval") | [.verdict // "new", .stack[0]?.lua]' "$1" 2>/dev/null |
		awk '/^\["new"/ { want = 1; next } want { last = $0; want = 0 } END { print last }'
}

calls_the_leak() { first_site "$TMP/auto.trace" | grep -Eq "^.\"(growing|leak)\",\"@$script:$line\""; }

for rt in lua5.1 lua5.4 luajit; do
	start_script "$rt" "$script" 120
	"$TRACER" -p "$target" -m exact -d 1 --json >"$TMP/exact" 2>"$TMP/exact.err"
	is $? 0 "$rt: exact ends with status 0" || sed 's/^/#   /' "$TMP/exact.err"
	is "$(jq -r "$end | .overhead | .ns_per_event > 100 and .cpu_pct > 0" "$TMP/exact")" true \
		"$rt: exact tells what it costs"
	is "$(nothing_lost "$TMP/exact") $(jq -c "$end | .coverage.alloc_pct" "$TMP/exact")" "true 100" \
		"$rt: and sees all"
	start_trace auto -p "$target" 1 --json
	wait_for 40 calls_the_leak
	ok $? "$rt: in windows the leaking line is first all the same: $(first_site "$TMP/auto.trace")"
	stop_trace
	is "$status" 0 "$rt: auto ends with status 0"
	like "$(cat "$TMP/auto.trace.err")" "in windows only" "$rt: stepping down is said"
	is "$(jq -r 'select(.type == "header") | .mode' "$TMP/auto.trace" | tail -n 1)" watch \
		"$rt: and stands in the header"
	is "$(jq -c "$end | [.complete, .coverage.alloc_pct < 80, .overhead.cpu_pct < 20]" "$TMP/auto.trace" |
		tail -n 1)" "[false,true,true]" "$rt: so do coverage and cost"
	is "$(jq -r 'select(.type == "finding" and .kind != "leak") | .kind' "$TMP/auto.trace")" "" \
		"$rt: nothing is made up of what was half seen"
	kill "$target"
done

# Each line is the processor time of one round: other processes do not count in it.
rounds() { wc -l <"$TMP/out"; }
median() { sed -n "$1,$2p" "$TMP/out" | sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }
has_rounds() { [ "$(rounds)" -ge "$1" ]; }

start_script luajit "$ROOT/tests/bench/tree.lua"
wait_for 60 has_rounds 200
from=$(($(rounds) + 1))
wait_for 60 has_rounds $((from + 300))
to=$(rounds)
start_trace storm -p "$target" -m watch --json
first=$(($(rounds) + 1))
sleep 5
last=$(rounds)
stop_trace
kill "$target"
is "$(jq -r 'select(.type == "finding") | .kind' "$TMP/storm.trace")" "" "a storm without a leak: no finding"
is "$(jq -r 'select(.type == "site" and (.verdict == "leak" or .verdict == "growing")) | .kind' \
	"$TMP/storm.trace")" "" "…and no place that grows"
awk -v bare="$(median "$from" "$to")" -v watch="$(median "$first" "$last")" \
	'BEGIN { printf "# %.2f ms a round, %.2f under watch\n", bare * 1000, watch * 1000; exit !(watch < 1.6 * bare) }'
ok $? "…and it runs on"
done_testing
