# Helpers of the benchmarks. Sourced by bash.
# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034  # variables are for the parts
set -u
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=${BUILD:-$ROOT/build}
PEERS=${PEERS:-$BUILD/peers} # unpacked packages, see peers.sh; what is installed is used too
TRACER=$BUILD/luamemtrace
PATH=$PATH:/usr/sbin:$PEERS/usr/bin:$PEERS/usr/sbin
TMP=$(mktemp -d)
pids=()
[ "$(id -u)" = 0 ] || { echo "make bench: needs root to place probes" >&2; exit 77; }

end() { # pid: one of ours
	kill -- "$1" 2>/dev/null
	wait "${1#-}" 2>/dev/null
}
cleanup() {
	for p in "${pids[@]:-}"; do [ -n "$p" ] && end "$p"; done
	rm -rf "$TMP"
}
trap cleanup EXIT

median() { sort -n "$@" | awk '{ a[NR] = $1 } END { if (NR) print a[int((NR + 1) / 2)]; else print "-" }'; }
ratio() { # value of digits; "-" stays
	awk -v a="$1" -v b="$2" -v d="${3:-2}" 'BEGIN { if (a == "-" || b == "-" || !b) print "-"; else printf "%.*f\n", d, a / b }'
}
in_time() { # row: false, and said in it, when the time for all (run.sh) is over
	[ "$(date +%s)" -lt "${BENCH_END:-9999999999}" ] && return 0
	printf '%s\tno time left\n' "$1"
	return 1
}
have() { command -v "$1" >/dev/null 2>&1; }
wait_until() { # seconds command…
	local last=$((SECONDS + $1))
	shift
	until "$@" 2>/dev/null; do
		[ "$SECONDS" -lt "$last" ] || return 1
		sleep 0.02
	done
}
table() { column -t -s "$(printf '\t')" "$1"; }

# trace COLUMN PIDS: what the column stands for, on the processes, until it works. Sets $tracer.
# Columns: bare floor watch auto exact memleak
trace() {
	local list=$2
	tracer=
	case $1 in
	bare) return 0 ;;
	memleak)
		have memleak || return 1
		memleak -p "${list%%,*}" 3600 >/dev/null 2>"$TMP/memleak.err" &
		tracer=$!
		pids+=("$tracer")
		sleep 2 # it does not say when it is ready
		kill -0 "$tracer" 2>/dev/null
		return
		;;
	esac
	rm -f "$TMP/trace.err"
	[ "$1" = floor ] && export LUAMEMTRACE_FLOOR=1
	"$TRACER" -p "$list" -m "${1/floor/exact}" --json >"$TMP/$1.json" 2>"$TMP/trace.err" &
	tracer=$!
	pids+=("$tracer")
	unset LUAMEMTRACE_FLOOR
	wait_until 60 grep -qs '^luamemtrace: tracing' "$TMP/trace.err"
}

# untrace COLUMN: ends it; the tracer's own processor time, as a percentage, goes to $TMP/COLUMN.cpu.
untrace() {
	[ -n "$tracer" ] || return 0
	awk -v up="$(cut -d' ' -f1 /proc/uptime)" '{ sub(/.*\) /, ""); print ($12 + $13) / (up - $20 / 100) }' \
		"/proc/$tracer/stat" >>"$TMP/$1.cpu"
	kill -INT "$tracer"
	wait "$tracer"
	tracer=
}

about() { # what the figures were measured on
	echo "$(date +%F), $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg), Linux $(uname -r); $*"
}
