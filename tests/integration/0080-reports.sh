#!/bin/bash
# When reports come, what is in them, and that nothing from the target reaches the terminal raw.
# alone: waits for reports at their times
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

leak=$ROOT/tests/lua/leak.lua
lua5.4 "$leak" 120 >"$TMP/leak.out" &
target=$!
pids+=("$target")
wait_for 10 has_line '^ready$' "$TMP/leak.out"

# Intervals
"$TRACER" -p "$target" -m exact 1 3 --json >"$TMP/i.json" 2>"$TMP/i.err"
is $? 0 "INTERVAL COUNT: status 0"
is "$(jq -c . "$TMP/i.json" | wc -l)" "$(wc -l <"$TMP/i.json")" "each line is one JSON object"
is "$(jq -c 'select(has("type") | not)' "$TMP/i.json")" "" "each record has a type"
is "$(jq -r 'select(.type == "state") | .state' "$TMP/i.json" | wc -l)" 3 "three reports, the state in each"
is "$(jq -r 'select(.type == "header") | .schema' "$TMP/i.json")" 2 "one header, schema 2"
is "$(jq -r 'select(.type == "end") | .type' "$TMP/i.json" | wc -l)" 1 "one end"
is "$(tail -n 1 "$TMP/i.json" | jq -r .type)" end "the end comes last"
is "$(jq -rs '[.[] | select(.type == "state") | .allocs] | . == (. | sort) and (.[0] < .[2])' "$TMP/i.json")" \
	true "counts go up from report to report"
for t in process runtime state site; do
	is "$(jq -r "select(.type == \"$t\" and .pid != $target)" "$TMP/i.json")" "" "$t records name the process"
done
is "$(jq -c 'select(.type == "header") | [has("version"), has("start"), has("mode"), has("kernel"), has("command")] | all' \
	"$TMP/i.json")" true "the header is complete"
like "$(jq -r 'select(.type == "header") | .start' "$TMP/i.json")" \
	'^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{9}(Z|[+-][0-9:]+)$' "times are RFC 3339 with nanoseconds"
like "$(jq -r 'select(.type == "state") | .L' "$TMP/i.json")" '^0x[0-9a-f]+$' "addresses are strings"
is "$(jq -c 'select(.type == "runtime") | [.family, .version] | join(" ")' "$TMP/i.json" | head -n 1)" \
	"$(printf '"puc %s"' "$(lua5.4 -v 2>&1 | cut -d' ' -f2)")" "the runtime says its version"
is "$(jq -c 'select(.type == "end") | [.coverage.alloc_pct, .coverage.free_pct]' "$TMP/i.json")" '[100,100]' \
	"coverage is said"

# Duration and selection
t0=$SECONDS
"$TRACER" -p "$target" -m exact -d 1 >"$TMP/d.txt" 2>/dev/null
is $? 0 "-d: status 0"
ok "$([ $((SECONDS - t0)) -le 40 ]; echo $?)" "-d ends the trace"
like "$(cat "$TMP/d.txt")" "nothing was lost" "the text says what was lost"
"$TRACER" -p "$target" -m exact -d 1 -T 2 --json 2>/dev/null >"$TMP/t.json"
"$TRACER" -p "$target" -m exact -d 2 --sort count -T 3 >"$TMP/sort.txt" 2>/dev/null
is $? 0 "--sort and --top"
"$TRACER" -p "$target" -m exact -d 1 -z 100000000 --json 2>/dev/null >"$TMP/z.json"
is "$(jq -c 'select(.type == "site")' "$TMP/z.json")" "" "--min-size above all blocks: no site"

# A closed pipe ends quietly, and a full disk does not
"$TRACER" -p "$target" -m exact 1 3 2>"$TMP/pipe.err" | head -n 1 >/dev/null
is "$(grep -ciE 'error|cannot|signal' "$TMP/pipe.err")" 0 "a closed pipe ends quietly"
"$TRACER" -p "$target" -m exact -d 1 >/dev/full 2>"$TMP/full.err"
is $? 74 "no room to write: status 74"
like "$(cat "$TMP/full.err")" "cannot write" "and says so"

# Lists
like "$("$TRACER" list -p "$target" --no-color)" "Lua 5\.4" "list names the runtime"
is "$("$TRACER" list -p "$target" --json | jq -r 'select(.type == "state") | .state')" 1 "list: one state"
like "$("$TRACER" list --json | jq -r 'select(.type == "process") | .pid')" "(^|[^0-9])$target([^0-9]|$)" \
	"list without -p finds it"
like "$("$TRACER" doctor -p "$target")" "uprobe_multi" "doctor says what works"
is "$("$TRACER" doctor -p "$target" --json | jq -c 'select(.type == "runtime") | .functions | length > 3')" true \
	"doctor lists functions"
kill "$target"

# The target's end is the trace's end
lua5.4 "$leak" 4 >"$TMP/short.out" &
target=$!
pids+=("$target")
wait_for 10 has_line '^ready$' "$TMP/short.out"
"$TRACER" -p "$target" -m exact --json >"$TMP/short.json" 2>/dev/null
is $? 0 "the target's end ends the trace: status 0"
is "$(jq -r 'select(.type == "end") | .complete' "$TMP/short.json")" true "with a last report"
is "$(jq -rs '[.[] | select(.type == "site")] | length > 3' "$TMP/short.json")" true "which names places"

# Text of the target is hostile
cat >"$TMP/hostile.lua" <<'END'
local name = "=\27]0;owned\7\27[31m<script>alert(1)</script>\"\\\n\1"
local f = assert((loadstring or load)("local t = {} for i = 1, 5000 do t[i] = { i } end return t", name))
io.write("ready\n") io.flush() io.read()
keep = f()
io.write("done\n") io.flush() io.read()
END
for rt in lua5.1 lua5.4 luajit; do
	for form in --json --no-color; do
		start_gated "h$form-$rt" "$rt" "$TMP/hostile.lua"
		start_trace "h$form-$rt" -p "$target" -m exact "$form"
		open_gate
		wait_for 20 has_line '^done$' "$TMP/h$form-$rt.out"
		stop_trace
		is "$(LC_ALL=C grep -c "$(printf '[\001-\010\013-\037\177]')" "$TMP/h$form-$rt.trace")" 0 \
			"$rt $form: no control character of a chunk name comes through"
		open_gate
	done
	is "$(jq -c . "$TMP/h--json-$rt.trace" | wc -l)" "$(wc -l <"$TMP/h--json-$rt.trace")" \
		"$rt: JSON stays valid"
	like "$(cat "$TMP/h--json-$rt.trace")" 'script' "$rt: and the name is there"
done
done_testing
