# Helpers of the integration tests: TAP lines, processes with gates, traces. Sourced by bash.
# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034  # variables are for the tests

set -u
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=${BUILD:-$ROOT/build}
TRACER=$BUILD/luamemtrace
HOSTS=$BUILD/hosts
TMP=$(mktemp -d "${TMPDIR:-/tmp}/lmt.XXXXXX")
n_tests=0
n_failed=0
pids=()
target='' tracer='' gate='' status='' group='' # set by the starters below

# A number may be somebody else's by now. Servers write their title over their environment, but we are above them.
export LMT_TEST=$TMP
is_ours() {
	local p=$1

	grep -qsz "^LMT_TEST=$TMP\$" "/proc/$p/environ" && return 0 # in a trap a bare return is not that of grep
	while [ "${p:-0}" -gt 1 ]; do
		p=$(awk '$1 == "PPid:" { print $2 }' "/proc/$p/status" 2>/dev/null)
		[ "$p" != $$ ] || return 0
	done
	return 1
}

cleanup() {
	local ours=()

	disown -a 2>/dev/null # no word of those that are killed
	for p in "${pids[@]:-}"; do
		[ -n "$p" ] && is_ours "$p" && ours+=("$p")
	done
	[ "${#ours[@]}" -eq 0 ] || kill -9 "${ours[@]}" 2>/dev/null
	wait 2>/dev/null
	rm -rf "$TMP"
}
trap cleanup EXIT

ok() { # condition-status description
	n_tests=$((n_tests + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $n_tests - $2"
	else
		echo "not ok $n_tests - $2"
		n_failed=$((n_failed + 1))
	fi
}

is() { # got expected description
	if [ "$1" = "$2" ]; then
		ok 0 "$3"
	else
		ok 1 "$3"
		printf '%s\n' "got:      $1" "expected: $2" | head -c 2000 | sed 's/^/#   /'
		echo
	fi
}

like() { # text regex description
	if printf '%s' "$1" | grep -Eq -- "$2"; then
		ok 0 "$3"
	else
		ok 1 "$3"
		printf '%s\n' "no match for: $2" "in: $1" | head -c 2000 | sed 's/^/#   /'
		echo
	fi
}

skip() { # reason description: visible in the output, with its reason
	n_tests=$((n_tests + 1))
	echo "ok $n_tests - $2 # SKIP $1"
}

done_testing() {
	echo "1..$n_tests"
	[ "$n_failed" -eq 0 ]
}

skip_all() {
	echo "1..0 # SKIP $1"
	exit 0
}

need_root() {
	[ "$(id -u)" = 0 ] || skip_all "needs root to place probes"
}

# wait_for TIMEOUT_S COMMAND…: true as soon as the command succeeds
wait_for() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.02
	done
}

has_line() { grep -q -- "$1" "$2"; }

# start_gated NAME COMMAND…: runs it with a gate on stdin; output in $TMP/NAME.out. Sets $target.
start_gated() {
	local name=$1
	shift
	rm -f "$TMP/$name.in" "$TMP/$name.out" # an earlier one may have had its name
	mkfifo "$TMP/$name.in"
	"$@" <"$TMP/$name.in" >"$TMP/$name.out" 2>"$TMP/$name.err" &
	target=$!
	pids+=("$target")
	exec {gate}>"$TMP/$name.in"
	wait_for 20 has_line '^ready' "$TMP/$name.out"
}

open_gate() { echo >&"$gate"; }

# start_trace NAME ARGS…: luamemtrace in the background, until its probes stand. Sets $tracer.
start_trace() {
	local name=$1
	shift
	rm -f "$TMP/$name.trace.err"
	"$TRACER" "$@" >"$TMP/$name.trace" 2>"$TMP/$name.trace.err" &
	tracer=$!
	pids+=("$tracer")
	wait_for 20 has_line '^luamemtrace: tracing' "$TMP/$name.trace.err"
}

# stop_trace: Ctrl-C, and the tracer's exit status in $status
stop_trace() {
	kill -INT "$tracer" 2>/dev/null
	wait "$tracer"
	status=$?
}

# Our BPF programs that no process holds a descriptor of: left behind. Other traces may run meanwhile.
left_in_kernel() {
	bpftool -j prog show 2>/dev/null |
		jq '.[] | select(.name // "" | test("^(alloc|lua)_")) | .id' | sort >"$TMP/programs"
	cat /proc/[0-9]*/fdinfo/* 2>/dev/null | awk '/^prog_id/ { print $2 }' | sort -u >"$TMP/held"
	comm -23 "$TMP/programs" "$TMP/held"
}

# …and still there after five seconds: the kernel takes its time to free what SIGKILL left.
none_left_in_kernel() {
	local first
	first=$(left_in_kernel)
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		[ -n "$first" ] || return 0
		sleep 0.5
		first=$(comm -12 <(echo "$first") <(left_in_kernel))
	done
	return 1
}

# Reads that failed while the kernel moved a page of the target: a line is not known then, nothing else.
faults() { # trace
	jq -r 'select(.type == "end") | .lost.read_fault' "$1" | tail -n 1
}

# A trace's records without what the tracer measured of itself, which no file keeps.
without_overhead() { # file
	jq -c 'if .type == "end" then del(.overhead) else . end' "$1"
}

# "true" when a trace lost nothing, but for such lines.
nothing_lost() { # trace
	local n
	n=$(faults "$1")
	[ "$n" = 0 ] || echo "# $n reads failed: lines of as many blocks are not known" >&2
	jq -c 'select(.type == "end") | .complete or (.lost | .read_fault <= 300 and (del(.read_fault) | add) == 0) or
		[.lost, .blind_spots]' "$1" # what was lost, when it is not nothing
}

# The interpreters and hosts a test runs over.
RUNTIMES="lua5.1 lua5.2 lua5.3 lua5.4 luajit"

# memory_group BYTES: a cgroup of ours with that limit, whichever version has memory here. Sets $group; false: none can be made.
memory_group() {
	local limit
	for group in /sys/fs/cgroup/memory/lmt.$$ /sys/fs/cgroup/lmt.$$; do
		mkdir "$group" 2>/dev/null || continue
		for limit in memory.limit_in_bytes memory.max; do
			[ ! -w "$group/$limit" ] || echo "$1" >"$group/$limit"
		done
		grep -qsx "$1" "$group/memory.limit_in_bytes" "$group/memory.max" && return
		rmdir "$group"
	done
	return 1
}
