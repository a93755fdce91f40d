#!/bin/bash
# A target whose memory nobody may read (kernel.yama.ptrace_scope 3): one line at once, no loop.
# alone: traces the whole system
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

start_gated busy lua5.4 -e 'print("ready") io.read() while true do local t = {} for i = 1, 100 do t[i] = {} end end'
open_gate # a million calls a second

refused() { # description arguments…
	local text=$1
	shift
	LD_PRELOAD=$HOSTS/noread timeout 10 "$TRACER" "$@" >"$TMP/out" 2>"$TMP/err"
	is "$?" 77 "$text: ends at once with status 77"
	is "$(wc -l <"$TMP/err")" 1 "$text: with one line"
	like "$(cat "$TMP/err")" "cannot read the memory of process $target: .*CAP_SYS_PTRACE" "$text: which says why, and what to do"
}
refused "exact" -p "$target" -m exact -d 5
refused "auto" -p "$target" -d 5
refused "list" list -p "$target"
refused "census" census -p "$target"
refused "record" record -w "$TMP/r.db" -p "$target" -d 5

# Every process is looked at, so that one is named and the trace goes on until it is told to end.
LD_PRELOAD=$HOSTS/noread "$TRACER" -a -m exact >"$TMP/all" 2>"$TMP/all.err" &
tracer=$!
pids+=("$tracer")
wait_for 20 has_line "process $target is not traced" "$TMP/all.err"
is "$?" 0 "-a names the process"
sleep 1
kill -INT "$tracer"
ended() { ! kill -0 "$tracer"; }
wait_for 5 ended
is "$?" 0 "-a ends at SIGINT"
is "$(grep -c "process $target is not traced" "$TMP/all.err")" 1 "-a names it once"
done_testing
