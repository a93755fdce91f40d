#!/bin/bash
# A recording holds what lay on the heap and who held it: at its start, when something happens, at its end.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root
command -v sqlite3 >/dev/null || skip_all "needs sqlite3"

start_service() { # interpreter
	rm -f "$TMP/$1.out" # an earlier one was ready, too
	"$1" "$ROOT/tests/lua/sessions.lua" 60 >"$TMP/$1.out" &
	target=$!
	pids+=("$target")
	wait_for 10 has_line '^ready$' "$TMP/$1.out"
}

for rt in lua5.1 lua5.4 luajit; do
	start_service "$rt"
	"$TRACER" -p "$target" -m exact -d 3 -w "$TMP/$rt.db" --json >"$TMP/$rt.live" 2>"$TMP/$rt.err"
	is "$?" 0 "$rt: status 0"
	is "$(sqlite3 "$TMP/$rt.db" "SELECT group_concat(reason) LIKE 'start%end' FROM v_censuses WHERE why_not IS NULL")" 1 \
		"$rt: the heap was walked at both ends"
	like "$(sqlite3 "$TMP/$rt.db" "SELECT path FROM v_holders ORDER BY time DESC, retained_bytes DESC LIMIT 3")" \
		'^registry → _LOADED\.sessions → \.by_token → table$' "$rt: SQL: who holds most"
	like "$(sqlite3 "$TMP/$rt.db" "SELECT kind, path FROM v_object_growth LIMIT 1")" \
		'^table\|.*_LOADED\.sessions → \.by_token' "$rt: SQL: what grew is held by the sessions"
	"$TRACER" report "$TMP/$rt.db" --json >"$TMP/$rt.file"
	is "$(diff <(without_overhead "$TMP/$rt.live") <(without_overhead "$TMP/$rt.file") | head -n 4)" "" \
		"$rt: the file gives the records of the live report"
	is "$(jq -c 'select(.type == "holder" and .path[-2] == ".by_token") | .path' "$TMP/$rt.file" | head -n 1)" \
		'["registry","_LOADED.sessions",".by_token","table"]' "$rt: the records have the path by steps"
	like "$("$TRACER" report "$TMP/$rt.db")" 'registry → _LOADED\.sessions → \.by_token → table' "$rt: so has the text"
	like "$("$TRACER" diff "$TMP/$rt.db@0" "$TMP/$rt.db" | grep -A 3 'types of objects')" \
		'iB +[0-9,]+  table    registry → _LOADED\.sessions' "$rt: diff names the type that grew"
	"$TRACER" report "$TMP/$rt.db" --html "$TMP/$rt.html"
	like "$(tr -d '\n' <"$TMP/$rt.html")" 'id="heaps".*_LOADED\.sessions.*\.by_token' "$rt: so does the page"
	like "$(cat "/proc/$target/status")" 'State:.*[RS] \((running|sleeping)' "$rt: the service goes on"
	kill "$target"
done

# When something happens; and not where it is not wanted
start_service lua5.4
"$TRACER" record -p "$target" -w "$TMP/t.db" --trigger 'heap>1k' -m exact 2>/dev/null &
tracer=$!
pids+=("$tracer")
wait_for 20 sh -c "sqlite3 'file:$TMP/t.db?mode=ro' \"SELECT 1 FROM census WHERE reason = 'trigger'\" 2>/dev/null | grep -q 1"
ok $? "a trigger has the heap walked at once"
kill -9 "$tracer" # what was committed stays
like "$("$TRACER" report "$TMP/t.db")" '_LOADED\.sessions → \.by_token → table' "and that is there when the recorder dies"
"$TRACER" record -p "$target" -w "$TMP/n.db" -d 2 --no-census 2>/dev/null
is "$? $(sqlite3 "$TMP/n.db" "SELECT count(*) FROM v_censuses")" "0 0" "--no-census: none"
"$TRACER" record -p "$target" -w "$TMP/p.db" -d 2 --pause-budget 0 2>/dev/null
is "$? $(sqlite3 "$TMP/p.db" "SELECT max(pause_ms) FROM v_censuses")" "0 0.0" "--pause-budget 0: it is never stopped"
kill "$target"
done_testing
