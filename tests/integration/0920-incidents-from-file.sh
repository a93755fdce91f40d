#!/bin/bash
# Each incident is recorded from a process that crashes or ends; then its cause is found from the
# file alone: in the records, in the text, on the page, in SQL.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

done_or_gone() { has_line '^done$' "$TMP/$1.out" || ! kill -0 "$target"; }

# record_run NAME COMMAND…: recorded until it is gone, reported live at the same time
record_run() {
	local name=$1
	shift
	start_gated "$name" "$@"
	start_trace "$name" -p "$target" -m exact --json -w "$TMP/$name.db"
	open_gate
	wait_for 60 done_or_gone "$name"
	sleep 0.7
	(open_gate) 2>/dev/null # in a subshell: a target that is gone gives SIGPIPE
	wait "$target" 2>/dev/null
	wait "$tracer"
	status=$?
}

# told NAME KIND CAUSE-REGEX LINE-REGEX: by every way from the file
told() {
	local name=$1 kind=$2
	is "$status" 0 "$name: recorded, status 0"
	"$TRACER" report "$TMP/$name.db" --json >"$TMP/$name.json"
	is "$(diff <(without_overhead "$TMP/$name.trace") <(without_overhead "$TMP/$name.json") | head -n 4)" "" "$name: the file gives the records of the live report"
	like "$(jq -c "select(.type == \"finding\" and .kind == \"$kind\")" "$TMP/$name.json")" "$3" "$name: $kind, with its cause"
	like "$("$TRACER" report "$TMP/$name.db")" "$4" "$name: the text names the place"
	is "$(sqlite3 "$TMP/$name.db" "SELECT count(*) > 0 FROM v_findings WHERE kind = '$kind'")" 1 "$name: SQL finds it"
	"$TRACER" report "$TMP/$name.db" --html "$TMP/$name.html"
	like "$(tr -d '\n' <"$TMP/$name.html")" "class=\"tag\">[a-z]+ $kind</span>" "$name: the page shows it"
	"$TRACER" report "$TMP/$name.db" --exit-code >/dev/null
	is $? 1 "$name: --exit-code"
	"$TRACER" report "$TMP/$name.db" --exit-code --kinds c-leak >/dev/null
	is $? 0 "$name: --kinds leaves it out"
}

record_run two-copies "$HOSTS/inc_twolua" "$HOSTS/inc_twolua_plugin"
told two-copies static-free '"section":"\.rodata"' 'pages\.lua:5'
like "$(jq -r 'select(.type == "end") | .reason' "$TMP/two-copies.json")" 'killed by signal 6' "two-copies: how it ended"

record_run oom-in-trace "$HOSTS/inc_oomjit" 2010 1
told oom-in-trace oom-in-trace '"where":"trace-exit"' 'oom-in-trace'
like "$(jq -r 'select(.type == "end") | .reason' "$TMP/oom-in-trace.json")" 'killed by signal 11' "oom-in-trace: how it ended"

record_run outlived "$HOSTS/inc_alloc-lua5.3" outlive
told outlived outlived-close '"blocks":10' 'outlived-close'

record_run retry "$HOSTS/inc_alloc-lua5.4" twice
told retry oom '"nsize":' 'oom'

if [ -f "$ROOT/tests/lua/inc_ffi.lua" ]; then
	record_run freed-memory luajit -joff "$ROOT/tests/lua/inc_ffi.lua" bad
	told freed-memory use-after-free '"function":"snprintf"' 'inc_ffi\.lua:4[0-9]'
fi

# A quiet recorder catches it too
start_gated quiet "$HOSTS/inc_oomjit" 2010 1
start_trace quiet -p "$target" -m exact -w "$TMP/quiet.db" --trigger oom,signal
open_gate
wait "$target" 2>/dev/null
wait "$tracer"
is "$(sqlite3 "$TMP/quiet.db" "SELECT group_concat(substr(text, 1, 4)) FROM v_events WHERE kind = 'trigger'" | tr , '\n' | sort | paste -sd,)" \
	"oom:,sign" "a quiet recorder: both triggers fired"
like "$("$TRACER" report "$TMP/quiet.db")" 'oom-in-trace' "and the finding is in the file"

# A healthy twin
record_run healthy "$HOSTS/inc_alloc-lua5.4" good
is "$("$TRACER" report "$TMP/healthy.db" --json | jq -c 'select(.type == "finding")')" "" "a healthy process: no finding in the file"
done_testing
