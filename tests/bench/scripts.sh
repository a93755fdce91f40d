#!/bin/bash
# What tracing costs scripts that do nothing but allocate: columns interleaved in one process.
# usage: scripts.sh [REPETITIONS [SECONDS]]     (BENCH_COLUMNS: only these, bare first)
#
# floor: the same probes on the same places with programs that do nothing, so it is the kernel's own
# cost. Figures are medians over all rounds (processor time, printed by the script) that ran wholly
# within such a phase. heaptrack, massif and memcheck cannot attach: they run the script from its start.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
reps=${1:-3} secs=${2:-3}
columns=${BENCH_COLUMNS:-bare floor watch auto exact memleak}

lines() { wc -l <"$TMP/rounds"; }
has_rounds() { [ "$(wc -l <"$1")" -ge "$2" ]; } # file number

phase() { # column
	local from to
	trace "$1" "$target" || { tracer=; return 0; }
	from=$(lines)
	sleep "$secs"
	to=$(lines)
	# a whole round at least, however slow
	wait_until 20 has_rounds "$TMP/rounds" $((from + 3)) || true
	[ "$to" -ge $((from + 3)) ] || to=$(lines)
	untrace "$1"
	sed -n "$((from + 2)),$((to - 1))p" "$TMP/rounds" >>"$TMP/$1"
	[ "$1" != exact ] || jq -r 'select(.type == "end") | .overhead.events' "$TMP/exact.json" >>"$TMP/events"
	[ "$1" != exact ] || echo $((to - from)) >>"$TMP/n_rounds"
}

whole() { # column command…: from the start, for a few seconds
	local name=$1 p
	shift
	: >"$TMP/$name"
	have "$1" || return 0
	(cd "$TMP" && exec setsid "$@" >"$TMP/$name" 2>/dev/null) & # some start others: a session to end
	p=$!
	pids+=("-$p")
	wait_until 20 has_rounds "$TMP/$name" 4
	sleep 1
	end "-$p"
	sed -i 1d "$TMP/$name"
}

bench() { # runtime script
	local script=$ROOT/tests/bench/$2.lua c
	in_time "$1	$2" || return 0
	rm -f "$TMP"/*
	for c in bare floor watch auto exact memleak; do : >"$TMP/$c"; done
	"$1" "$script" >"$TMP/rounds" &
	target=$!
	pids+=("$target")
	sleep 1
	for ((i = 0; i < reps; i++)); do
		for c in $columns; do phase "$c"; done
	done
	end "$target"
	whole massif valgrind --tool=massif --massif-out-file=/dev/null "$1" "$script"
	whole memcheck valgrind --tool=memcheck "$1" "$script"
	whole heaptrack heaptrack -o "$TMP/heaptrack.out" "$1" "$script"
	row "$1" "$2"
}

row() { # runtime script
	local bare floor exact c per
	bare=$(median "$TMP/bare") floor=$(median "$TMP/floor") exact=$(median "$TMP/exact")
	per=$(paste "$TMP/events" "$TMP/n_rounds" | awk '{ e += $1; r += $2 } END { print r ? e / r : 0 }')
	printf '%s\t%s\t%s' "$1" "$2" "$(ratio "$bare" 0.001)"
	for c in floor watch auto exact memleak heaptrack massif memcheck; do
		printf '\t%s' "$(ratio "$(median "$TMP/$c")" "$bare")"
	done
	printf '\t%s' "$(ratio "$exact" "$floor")"
	awk -v b="$bare" -v f="$floor" -v e="$exact" -v n="$per" \
		'BEGIN { if (n) printf "\t%.0f\t%.0f\t%.0f\n", n, (f - b) * 1e9 / n, (e - b) * 1e9 / n; else print "\t-\t-\t-" }'
}

{
	printf 'runtime\tscript\tbare ms'
	for c in floor watch auto exact memleak heaptrack massif memcheck; do printf '\t%s' "$c"; done
	printf '\texact/floor\tcalls/round\tfloor ns\texact ns\n'
	for s in "lua5.4 tree" "luajit tree" "lua5.4 strings" "lua5.4 closures" "luajit closures" "luajit ffi"; do
		# shellcheck disable=SC2086  # two words
		bench $s
	done
} >"$BUILD/bench-scripts.tsv"
table "$BUILD/bench-scripts.tsv"
about "medians of rounds, $reps phases of $secs s; times bare, - is not available" >&2
