#!/bin/bash
# bare, floor, exact, watch, auto on the binary-tree script, interleaved: ratios and nanoseconds per event.
# usage: run.sh [REPETITIONS [SECONDS]]
#
# floor: the same probes on the same places with programs that do nothing (LUAMEMTRACE_FLOOR=1), so
# it is the kernel's own cost. exact: the default. Each figure is the median over all rounds of the
# script that ran wholly within such a phase; phases alternate in one process.
# SPDX-License-Identifier: MIT
set -u
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=${BUILD:-$ROOT/build}
reps=${1:-3} secs=${2:-3}
TMP=$(mktemp -d)
target=
trap '[ -n "$target" ] && kill "$target" 2>/dev/null; rm -rf "$TMP"' EXIT
[ "$(id -u)" = 0 ] || { echo "make bench: needs root to place probes" >&2; exit 77; }

lines() { wc -l <"$TMP/rounds"; }

# The rounds between two marks, without the first and the last, go to phase NAME's file.
keep() { # name from to
	sed -n "$(($2 + 2)),$(($3 - 1))p" "$TMP/rounds" >>"$TMP/$1"
}

median() { sort -n "$1" | awk '{ a[NR] = $1 } END { if (NR) print a[int((NR + 1) / 2)] }'; }

traced() { # name mode
	local t0 t1 from to tracer
	rm -f "$TMP/$1.err"
	t0=$(date +%s%N)
	"$BUILD/luamemtrace" -p "$target" -m "$2" --json >"$TMP/$1.json" 2>"$TMP/$1.err" &
	tracer=$!
	until grep -qs '^luamemtrace: tracing' "$TMP/$1.err"; do
		kill -0 "$tracer" 2>/dev/null || { cat "$TMP/$1.err" >&2; exit 1; }
		sleep 0.01
	done
	t1=$(date +%s%N)
	from=$(lines)
	sleep "$secs"
	to=$(lines)
	kill -INT "$tracer"
	wait "$tracer"
	keep "$1" "$from" "$to"
	echo $(((t1 - t0) / 1000000)) >>"$TMP/start"
	jq -r 'select(.type == "end") | .overhead.events' "$TMP/$1.json" | awk '{ s += $1 } END { print s + 0 }' \
		>>"$TMP/$1.events"
	echo $((to - from)) >>"$TMP/$1.rounds"
}

bench() { # runtime
	rm -f "$TMP"/*
	"$1" "$ROOT/tests/bench/tree.lua" >"$TMP/rounds" &
	target=$!
	for ((i = 0; i < reps; i++)); do
		from=$(lines)
		sleep 1
		keep bare "$from" "$(lines)"
		LUAMEMTRACE_FLOOR=1 traced floor exact
		traced exact exact
		traced watch watch
		traced auto auto
	done
	kill "$target"
	wait "$target" 2>/dev/null
	target=
	paste "$TMP/exact.events" "$TMP/exact.rounds" | awk -v rt="$1" -v bare="$(median "$TMP/bare")" \
		-v floor="$(median "$TMP/floor")" -v exact="$(median "$TMP/exact")" -v start="$(median "$TMP/start")" \
		-v watch="$(median "$TMP/watch")" -v auto="$(median "$TMP/auto")" '
		NF == 2 { events += $1; rounds += $2 }
		END {
			per = events / rounds
			printf "%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.0f\t%.0f\t%d\n", rt, bare * 1000,
				floor * 1000, exact * 1000, exact / bare, exact / floor, watch / bare, auto / bare,
				(floor - bare) * 1e9 / per, (exact - bare) * 1e9 / per, start
		}'
}

{
	printf 'runtime\tbare ms\tfloor ms\texact ms\texact/bare\texact/floor\twatch/bare\tauto/bare\tfloor ns/event\texact ns/event\tstart ms\n'
	for rt in lua5.4 luajit; do bench "$rt"; done
} | tee "$BUILD/bench.tsv" | column -t -s "$(printf '\t')"
echo "medians of rounds, $reps phases of $secs s each, $(nproc) cores, Linux $(uname -r); TSV in build/bench.tsv" >&2
