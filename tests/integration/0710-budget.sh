#!/bin/bash
# What tracing costs is measured and told; above --max-overhead only windows are seen, and still the
# leaking line comes first and nothing is called that is not there.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

script=$ROOT/tests/lua/leak.lua
line=$(grep -n 'LEAK' "$script" | cut -d: -f1)
end='select(.type == "end")'

start_script() { # runtime script args…
	"$@" >"$TMP/out" 2>&1 &
	target=$!
	pids+=("$target")
	wait_for 10 test -s "$TMP/out"
}

for rt in lua5.1 lua5.4 luajit; do
	start_script "$rt" "$script" 60
	"$TRACER" -p "$target" -m exact -d 2 --json >"$TMP/exact" 2>/dev/null
	is "$(jq -r "$end | .overhead | .ns_per_event > 100 and .cpu_pct > 0" "$TMP/exact")" true \
		"$rt: exact tells what it costs"
	is "$(jq -c "$end | [.complete, .coverage.alloc_pct]" "$TMP/exact")" "[true,100]" "$rt: and sees all"
	"$TRACER" -p "$target" -d 12 --json >"$TMP/auto" 2>"$TMP/auto.err"
	is $? 0 "$rt: auto ends with status 0"
	like "$(cat "$TMP/auto.err")" "in windows only" "$rt: stepping down is said"
	is "$(jq -r 'select(.type == "header") | .mode' "$TMP/auto")" watch "$rt: and stands in the header"
	is "$(jq -c "$end | [.complete, .coverage.alloc_pct < 50, .overhead.cpu_pct < 7]" "$TMP/auto")" \
		"[false,true,true]" "$rt: so do coverage and cost"
	first=$(jq -c 'select(.type == "site") | [.verdict, .stack[0].lua]' "$TMP/auto" | head -n 1)
	like "$first" "^.\"(growing|leak)\",\"@$script:$line\"" "$rt: the leaking line is first all the same"
	is "$(jq -r 'select(.type == "finding" and .kind != "leak") | .kind' "$TMP/auto")" "" \
		"$rt: nothing is made up of what was half seen"
	kill "$target"
done

start_script luajit "$ROOT/tests/bench/tree.lua"
sleep 1
from=$(wc -l <"$TMP/out")
sleep 4
to=$(wc -l <"$TMP/out")
"$TRACER" -p "$target" -m watch -d 8 --json >"$TMP/storm" 2>/dev/null
now=$(wc -l <"$TMP/out")
kill "$target"
is "$(jq -r 'select(.type == "finding") | .kind' "$TMP/storm")" "" "a storm without a leak: no finding"
is "$(jq -r 'select(.type == "site" and (.verdict == "leak" or .verdict == "growing")) | .kind' "$TMP/storm")" "" \
	"…and no place that grows"
[ $(((now - to) * 4 * 100)) -gt $(((to - from) * 8 * 70)) ]
ok $? "…and it runs on: $(((now - to) / 8)) rounds a second under watch, $(((to - from) / 4)) without"
done_testing
