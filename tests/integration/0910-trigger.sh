#!/bin/bash
# A quiet recorder writes when something happens, and the file holds what was before.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

start_leak() { # seconds
	rm -f "$TMP/leak.out"
	lua5.4 "$ROOT/tests/lua/leak.lua" "$1" >"$TMP/leak.out" 2>/dev/null &
	target=$!
	pids+=("$target")
	wait_for 10 has_line '^ready$' "$TMP/leak.out"
}

reason() { "$TRACER" report "$1" --json | jq -r 'select(.type == "end") | .reason'; }
moments_before() { # file: recorded before the first trigger or mark
	sqlite3 "$1" "SELECT count(*) FROM v_snapshots WHERE time_ns <
		(SELECT min(time_ns) FROM v_events WHERE kind IN ('trigger', 'mark'))"
}

# Nothing happens
start_leak 150
"$TRACER" record -p "$target" -w "$TMP/q.db" --trigger 'heap>900G' -d 2 2>"$TMP/q.err"
is "$? $(ls "$TMP/q.db" 2>/dev/null)" "0 " "no trigger: status 0, no file"
like "$(cat "$TMP/q.err")" "no trigger fired" "and says so"
"$TRACER" record -p "$target" -w "$TMP/nowhere/q.db" --trigger 'heap>900G' -d 2 2>/dev/null
is $? 74 "a file that cannot be made is told at the start: status 74"
"$TRACER" record -p "$target" -w "$TMP/q.db" --trigger 'heap>' 2>/dev/null
is $? 2 "a trigger that is none: status 2"

# SIGUSR1
"$TRACER" record -p "$target" -w "$TMP/u.db" --trigger 'heap>900G' 2>"$TMP/u.err" &
tracer=$!
pids+=("$tracer")
wait_for 20 has_line '^luamemtrace: tracing' "$TMP/u.err"
sleep 5
is "$(ls "$TMP/u.db" 2>/dev/null)" "" "no file before"
kill -USR1 "$tracer"
wait_for 5 test -s "$TMP/u.db"
sleep 1.5
stop_trace
is "$status" 0 "SIGUSR1: status 0"
ok "$([ "$(moments_before "$TMP/u.db")" -ge 3 ]; echo $?)" "the file holds moments from before the signal"
is "$(sqlite3 "$TMP/u.db" "SELECT count(*) > 0 FROM v_snapshots WHERE time_ns >
	(SELECT min(time_ns) FROM v_events)")" 1 "and from after it"
like "$("$TRACER" report "$TMP/u.db")" "leak.lua:11" "and the leaking line"

# Thresholds
"$TRACER" record -p "$target" -w "$TMP/h.db" --trigger 'signal,heap>500k' -d 4 2>/dev/null
is "$? $(sqlite3 "$TMP/h.db" "SELECT text LIKE 'heap>500k: the heap of state 1%' FROM v_events WHERE kind = 'trigger'")" \
	"0 1" "heap>SIZE fires and says why"
"$TRACER" record -p "$target" -w "$TMP/g.db" --trigger 'growth>100k/min' -d 60 2>/dev/null
is "$? $(sqlite3 "$TMP/g.db" "SELECT text LIKE 'growth>100k/min: the heaps of process%' FROM v_events WHERE kind = 'trigger'")" \
	"0 1" "growth>RATE fires for a leak"
kill "$target"
cat >"$TMP/healthy.lua" <<'END2'
io.write("ready\n") io.flush()
local ring, t0, n = {}, os.time(), 0
while os.time() - t0 < 60 do
	for _ = 1, 200 do n = n + 1 ring[n % 500] = { n, "request " .. n } end
	local t = os.clock() while os.clock() - t < 0.002 do end
end
END2
lua5.4 "$TMP/healthy.lua" >/dev/null &
target=$!
pids+=("$target")
sleep 2
"$TRACER" record -p "$target" -w "$TMP/n.db" --trigger 'growth>100k/min,oom,leak,signal' -d 25 2>/dev/null
is "$? $(ls "$TMP/n.db" 2>/dev/null)" "0 " "a healthy process fires nothing"
sqlite3 "$TMP/n.db" "SELECT '# ' || text FROM v_events" 2>/dev/null
kill "$target"

# Death by a signal
start_leak 60
"$TRACER" record -p "$target" -w "$TMP/s.db" --trigger signal 2>"$TMP/s.err" &
tracer=$!
pids+=("$tracer")
wait_for 20 has_line '^luamemtrace: tracing' "$TMP/s.err"
sleep 2.5
kill -SEGV "$target"
wait "$tracer"
is "$?" 0 "the target crashes: status 0"
like "$(reason "$TMP/s.db")" "killed by signal 11" "the report says by which signal it died"
ok "$([ "$(moments_before "$TMP/s.db")" -ge 2 ]; echo $?)" "the file holds moments from before the crash"
like "$("$TRACER" report "$TMP/s.db")" "leak.lua:11" "and the lines"
lua5.4 -e 'repeat local t = {} until io.open(arg[1])' - "$TMP/enough" </dev/null &
target=$!
pids+=("$target")
"$TRACER" record -p "$target" -w "$TMP/x.db" --trigger signal 2>"$TMP/x.err" &
tracer=$!
wait_for 20 has_line '^luamemtrace: tracing' "$TMP/x.err"
touch "$TMP/enough"
wait "$tracer"
is "$? $(ls "$TMP/x.db" 2>/dev/null)" "0 " "an ordinary end is no trigger"
done_testing
