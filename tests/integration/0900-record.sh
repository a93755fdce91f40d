#!/bin/bash
# An incident file holds what the live report said, survives the tracer's death and a full disk,
# and is never written over unasked.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

lua5.4 "$ROOT/tests/lua/leak.lua" 300 >"$TMP/leak.out" &
target=$!
pids+=("$target")
wait_for 10 has_line '^ready$' "$TMP/leak.out"
leak="tests/lua/leak.lua:$(grep -n LEAK "$ROOT/tests/lua/leak.lua" | cut -d: -f1)"

# The same records live and from the file
"$TRACER" -p "$target" -m exact -d 3 -w "$TMP/a.db" --json >"$TMP/live.json" 2>"$TMP/a.err"
is $? 0 "trace -w: status 0"
"$TRACER" report "$TMP/a.db" --json >"$TMP/file.json"
is $? 0 "report: status 0"
is "$(diff <(without_overhead "$TMP/live.json") <(without_overhead "$TMP/file.json") | head -n 5)" "" "report --json gives the same records as the trace did"
like "$("$TRACER" report "$TMP/a.db")" "$leak" "the text names the leaking line"
is "$(stat -c %a "$TMP/a.db")" 600 "nobody else may read the file"
is "$(find "$TMP" -name 'a.db-*')" "" "after a clean stop it is one file"
is "$("$TRACER" report "$TMP/a.db" -T 1 --json | jq -c 'select(.type == "site")' | wc -l)" 1 "-T applies"
is "$("$TRACER" report "$TMP/a.db" --sort size --json |
	jq -cs '[.[] | select(.type == "site") | .live_bytes] | . == (sort | reverse)')" true "--sort applies"
is "$(sqlite3 "$TMP/a.db" 'SELECT count(*) > 1 FROM v_series; SELECT count(*) FROM v_runtimes' | tr '\n' ' ')" "1 1 " \
	"the views can be asked"
is "$(sqlite3 "$TMP/a.db" 'PRAGMA integrity_check')" ok "and it is sound"

# record
"$TRACER" record -p "$target" -w "$TMP/r.db" --flamegraph "$TMP/r.svg" 0.5 4 >"$TMP/r.out" 2>"$TMP/r.err"
is $? 0 "record: status 0"
is "$(wc -c <"$TMP/r.out")" 0 "record prints no report"
like "$(cat "$TMP/r.svg")" "leak.lua" "and writes the graph that it was asked for"
is "$(sqlite3 "$TMP/r.db" 'SELECT count(*) FROM v_snapshots')" 5 "INTERVAL COUNT: the first moment, then so many"
second=$(sqlite3 "$TMP/r.db" "SELECT printf('%.3f', (time_ns - (SELECT value FROM meta WHERE key = 'start_ns')) / 1e9
	+ 0.01) FROM snapshot WHERE id = 2")
t1=$("$TRACER" report "$TMP/r.db@$second" --json | jq -r 'select(.type == "end") | .time')
t2=$("$TRACER" report "$TMP/r.db" --json | jq -r 'select(.type == "end") | .time')
ok "$([[ -n "$t1" && "$t1" < "$t2" ]]; echo $?)" "FILE@SECONDS is an earlier moment"
is "$("$TRACER" report "$TMP/r.db@$t1" --json | jq -r 'select(.type == "end") | .time')" "$t1" "so is FILE@TIME"
"$TRACER" report "$TMP/r.db@nonsense" 2>/dev/null
is $? 2 "a time that is none: status 2"
"$TRACER" record -p "$target" 2>"$TMP/no.err"
is $? 2 "record without a file: status 2"

# What is there stays there
sum=$(sha256sum <"$TMP/r.db")
"$TRACER" record -p "$target" -w "$TMP/r.db" -d 1 2>"$TMP/e.err"
is $? 74 "an existing file is refused: status 74"
like "$(cat "$TMP/e.err")" "exists.*--force" "and says what to do"
is "$(sha256sum <"$TMP/r.db")" "$sum" "it is unchanged"
echo precious >"$TMP/precious"
ln -s "$TMP/precious" "$TMP/link.db"
"$TRACER" record -p "$target" -w "$TMP/link.db" -d 1 --force 2>/dev/null
is "$(cat "$TMP/precious")" precious "--force does not write through a link"
"$TRACER" record -p "$target" -w "$TMP/r.db" -d 1 --force 2>/dev/null
is $? 0 "--force overwrites"
"$TRACER" report "$TMP/r.db" >/dev/null
is $? 0 "and the new file can be read"
"$TRACER" record -p 999999 -w "$TMP/none.db" 2>/dev/null
is "$? $(ls "$TMP/none.db" 2>/dev/null)" "66 " "no process: status 66, no file"

# The tracer's death
for i in 1 2 3 4 5; do
	"$TRACER" record -p "$target" -w "$TMP/k$i.db" 0.1 2>/dev/null &
	tracer=$!
	pids+=("$tracer")
	db="file:$TMP/k$i.db?mode=ro" # sqlite3 would make the file otherwise
	wait_for 10 sh -c "sqlite3 '$db' 'SELECT 1 FROM snapshot' 2>/dev/null | grep -q 1"
	sleep "0.$((RANDOM % 900))"
	seen=$(sqlite3 "$db" 'SELECT max(id) FROM snapshot')
	kill -9 "$tracer"
	wait "$tracer" 2>/dev/null
	cp "$TMP/k$i.db" "$TMP/alone$i.db"
	like "$("$TRACER" report "$TMP/alone$i.db" 2>&1)" "-wal file" "SIGKILL $i: a copy without its -wal says what is missing"
	is "$(sqlite3 "$db" "SELECT max(id) >= $seen FROM snapshot; PRAGMA integrity_check" | tr '\n' ' ')" \
		"1 ok " "SIGKILL $i: what was committed ($seen moments) is there"
	like "$("$TRACER" report "$TMP/k$i.db")" "broke off" "SIGKILL $i: the report says that it broke off"
done

# The disk
mkdir "$TMP/small"
if mount -t tmpfs -o size=400k tmpfs "$TMP/small" 2>/dev/null; then
	(timeout 60 "$TRACER" record -p "$target" -w "$TMP/small/f.db" 0.1 >/dev/null 2>"$TMP/full.err")
	is $? 74 "a full disk ends the recording: status 74"
	like "$(cat "$TMP/full.err")" "no space left" "and says so"
	"$TRACER" report "$TMP/small/f.db" >"$TMP/full.txt"
	is $? 0 "what was written before can be read"
	like "$(cat "$TMP/full.txt")" "state 1" "and shows the state"
	rm -f "$TMP"/small/*
	dd if=/dev/zero of="$TMP/small/fill" bs=4k count=97 2>/dev/null
	"$TRACER" record -p "$target" -w "$TMP/small/g.db" -d 1 2>/dev/null
	is "$? $(ls "$TMP/small")" "74 fill" "no room from the start: status 74, no file left"
	mount -o remount,ro "$TMP/small"
	"$TRACER" record -p "$target" -w "$TMP/small/ro.db" -d 1 2>"$TMP/ro.err"
	is $? 74 "a read-only place: status 74"
	umount "$TMP/small"
else
	skip "tmpfs cannot be mounted here" "a full disk"
fi
mkdir "$TMP/gone"
timeout 60 "$TRACER" record -p "$target" -w "$TMP/gone/f.db" 0.2 2>"$TMP/gone.err" &
tracer=$!
pids+=("$tracer")
wait_for 20 has_line '^luamemtrace: tracing' "$TMP/gone.err"
rm -rf "$TMP/gone"
wait "$tracer"
is $? 74 "the folder vanishes: status 74"
"$TRACER" record -p "$target" -w "$TMP/nowhere/f.db" -d 1 2>/dev/null
is $? 74 "no such folder: status 74"

# The limit: the newest detail, the whole summary
"$TRACER" record -p "$target" -w "$TMP/m.db" --max-size 1M 0.1 100 2>/dev/null
is $? 0 "--max-size: status 0"
ok "$([ "$(stat -c %s "$TMP/m.db")" -le 1048576 ]; echo $?)" "the file keeps below it"
kill "$target"
is "$(sqlite3 "$TMP/a.db" "SELECT count(*) FROM v_states WHERE born LIKE '1970%' OR closed LIKE '1970%'")" 0 "a time that is not known is NULL"
# --max-overhead binds a recording and a profile as it does a trace; what keeps everything is asked for.
cat >"$TMP/busy.lua" <<'E2'
io.write('ready\n')
io.flush()
while true do local t = {} for i = 1, 1000 do t[i] = { i } end end
E2
lua5.4 "$TMP/busy.lua" >"$TMP/busy.out" &
busy=$!
pids+=("$busy")
wait_for 20 has_line '^ready' "$TMP/busy.out"
mode_of() { "$TRACER" report "$1" --json | jq -r 'select(.type == "header") | .mode'; }
"$TRACER" record -p "$busy" -w "$TMP/b.db" -d 6 --pprof "$TMP/b.pb.gz" --flamegraph "$TMP/b.svg" 2>"$TMP/b.err"
is "$? $(mode_of "$TMP/b.db")" "0 watch" "a busy program is recorded in windows"
is "$("$TRACER" report "$TMP/b.db" --json | jq -r 'select(.type == "end") | .coverage.alloc_pct < 50')" true "…the file says how much was seen"
ok "$(gunzip -c "$TMP/b.pb.gz" | grep -aq 'estimated: the calls were seen in windows'; echo $?)" "…the profile that it is estimated"
ok "$(grep -q 'estimated from windows' "$TMP/b.svg"; echo $?)" "…and the flame graph"
"$TRACER" record -p "$busy" -m exact -w "$TMP/e.db" -d 2 2>"$TMP/e.err"
is "$? $(mode_of "$TMP/e.db")" "0 exact" "-m exact keeps everything"
{ kill "$busy"; wait "$busy"; } 2>/dev/null
done_testing
