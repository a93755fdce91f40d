#!/bin/bash
# What each detector costs while nothing happens: exact mode without any that has a probe or a look of
# its own, and with one of them alone, in turns on one process.
# usage: detectors.sh [REPETITIONS [SECONDS]]
#
# Those that are not here (static-free, double-free by the ledger, foreign-free, size-mismatch, near-oom,
# shrink-failure, outlived-close, accounting-drift) have none: they look at what exact mode has in hand, when
# it does not fit. Time: processor time of a round against that without detectors. Runs: how often the
# kernel ran the detector's programs for each run of the allocator's, which no load disturbs.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
reps=${1:-3} secs=${2:-2}
stats=/proc/sys/kernel/bpf_stats_enabled
was=$(cat "$stats")
trap 'echo "$was" >"$stats"; cleanup' EXIT
echo 1 >"$stats"

# Bits of LUAMEMTRACE_WITHOUT: enum LMT_PROBE_… of bpf/block.h, and 1 for the look at chunks.
declare -A bit=([oom]=0x100 [oom-in-trace]=0x200 [uaf-call]=0x400 [uaf-libc]=0x800 [chunks]=0x1 [c-leak]=0)
none=0xf01
columns="none oom oom-in-trace uaf-call uaf-libc chunks c-leak all"

lines() { wc -l <"$TMP/rounds"; }
more_rounds() { [ "$(lines)" -ge "$1" ]; }

# runs and nanoseconds of the allocator's programs, then of all others of the tracer
runs() {
	sed -n 's/^prog_id:[[:space:]]*//p' "/proc/$tracer/fdinfo/"* 2>/dev/null | sort -u |
		while read -r id; do bpftool -j prog show id "$id" 2>/dev/null; done | jq -rs '
		map(select(.run_cnt and .type == "kprobe") | .ours = ((.name // "") | startswith("alloc_")))
		| [(map(select(.ours).run_cnt) | add // 0), (map(select(.ours).run_time_ns) | add // 0),
		   (map(select(.ours | not).run_cnt) | add // 0), (map(select(.ours | not).run_time_ns) | add // 0)]
		| @tsv'
}

phase() { # column
	local from to kinds=() without=$none
	[ "$1" = none ] || [ "$1" = c-leak ] || without=$((none & ~${bit[$1]:-$none}))
	[ "$1" != c-leak ] || kinds=(--kinds c-leak)
	rm -f "$TMP/trace.err"
	LUAMEMTRACE_WITHOUT=$without "$TRACER" -p "$target" -m exact "${kinds[@]}" --json >/dev/null 2>"$TMP/trace.err" &
	tracer=$!
	pids+=("$tracer")
	wait_until 60 grep -qs '^luamemtrace: tracing' "$TMP/trace.err" || return 0
	sleep 0.5 # the FFI is noticed, and its functions get their probes
	from=$(lines)
	sleep "$secs"
	to=$(lines)
	wait_until 30 more_rounds $((from + 3)) || true
	[ "$to" -ge $((from + 3)) ] || to=$(lines)
	runs >>"$TMP/$1.runs"
	kill -INT "$tracer"
	wait "$tracer"
	sed -n "$((from + 2)),$((to - 1))p" "$TMP/rounds" >>"$TMP/$1"
}

row() { # column
	local none_s
	none_s=$(median "$TMP/none")
	awk -v c="$1" -v t="$(ratio "$(median "$TMP/$1")" "$none_s" 3)" '
		{ a += $1; an += $2; o += $3; on += $4 }
		END { printf "\t%s\t%s\t%s\t%s\t%s\n", c, t, a ? sprintf("%.0f", an / a) : "-",
		      a ? sprintf("%.4f", o / a) : "-", o ? sprintf("%.0f", on / o) : "-" }' "$TMP/$1.runs"
}

bench() { # runtime options… script
	local script=$ROOT/tests/bench/${*: -1}.lua c
	in_time "$*" || return 0
	rm -f "$TMP"/*
	for c in $columns; do : >"$TMP/$c"; : >"$TMP/$c.runs"; done
	"${@:1:$#-1}" "$script" >"$TMP/rounds" &
	target=$!
	pids+=("$target")
	sleep 1
	for ((i = 0; i < reps; i++)); do
		for c in $columns; do phase "$c"; done
	done
	end "$target"
	for c in $columns; do printf '%s' "$*" && row "$c"; done
}

{
	printf 'script\tdetector\ttime\talloc ns\truns/alloc\tns a run\n'
	bench lua5.4 tree
	bench lua5.4 closures
	bench luajit tree
	bench luajit ffi_calls
	bench luajit -joff ffi_calls
} >"$BUILD/bench-detectors.tsv"
table "$BUILD/bench-detectors.tsv"
about "medians of rounds against exact without them, $reps phases of $secs s" >&2
