#!/bin/bash
# Ctrl-C while the probes are still being placed: it ends the trace as it would later. The jobs of a
# script have SIGINT ignored, so it must be held before anything slow is done.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

# Between fork and exec it is the shell that holds them, and lets go again.
holds() { # pid signal-number
	local mask
	[ "$(cat "/proc/$1/comm")" = "$(basename "$TRACER")" ] || return 1
	mask=$(awk '/^SigBlk/ { print $2 }' "/proc/$1/status")
	[ $((0x$mask >> ($2 - 1) & 1)) = 1 ]
}

for sig in 2 15; do
	start_gated host luajit "$ROOT/tests/lua/inc_ffi.lua" good 1
	"$TRACER" -p "$target" --json >"$TMP/trace" 2>"$TMP/err" &
	tracer=$!
	pids+=("$tracer")
	wait_for 20 holds "$tracer" "$sig"
	kill "-$sig" "$tracer"
	wait "$tracer"
	is $? 0 "signal $sig while it starts: status 0"
	like "$(tail -n 1 "$TMP/trace")" '^\{"type":"end"' "signal $sig while it starts: the report is whole"
	kill "$target"
	exec {gate}>&-
done
done_testing
