#!/bin/bash
# The census on growing heaps: what each part costs a million objects, the memory, the pause.
# usage: census.sh [RUNTIME [OBJECTS…]]     (default: lua5.4 and luajit, 1 to 15 million)
#
# A row each, medians of three: processor time a million objects for walking, for who holds what
# (paths, groups and findings, what each retains); memory of the tracer as a multiple of the Lua
# heap. The pause is of a second program that never rests, with as many tables: how long it was
# stopped, and the longest gap that it found itself, a MiB of its Lua heap. Then how each grows from
# the smallest heap to the largest.
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016 # programs of awk
set -u
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=${BUILD:-$ROOT/build}
RUNS=${RUNS:-3}
TMP=$(mktemp -d)
target=
trap '[ -n "$target" ] && kill -9 "$target" 2>/dev/null; rm -rf "$TMP"' EXIT
[ "$(id -u)" = 0 ] || { echo "census.sh: needs root" >&2; exit 77; }

# Three objects an entry: two tables and a string.
cat >"$TMP/big.lua" <<'LUA'
local n = math.floor(tonumber(arg[1]) / 3)
big = {}
for i = 1, n do big[i] = { { i }, name = "entry " .. i } end
print("ready") io.stdout:flush()
while true do io.read() end
LUA

start() { # command…: sets $target
	rm -f "$TMP/out"
	"$@" <>"$TMP/in" >"$TMP/out" &
	target=$!
	until grep -qs '^ready' "$TMP/out"; do sleep 0.1; kill -0 "$target" || exit 1; done
}

stop() {
	kill -9 "$target"
	wait "$target" 2>/dev/null
	target=
}

census() { # appends to $TMP/log what the tracer says of itself
	/usr/bin/time -f 'memory %M' -o "$TMP/kib" "$BUILD/luamemtrace" census -p "$target" -v --by type \
		--pause-budget 10000 --json >"$TMP/json" 2>"$TMP/err" || { cat "$TMP/err" >&2; exit 1; }
	{
		cat "$TMP/err" "$TMP/kib"
		jq -r 'if .type == "state" then "heap \(.heap_bytes)"
			elif .type == "end" then "pause \(.longest_pause_ms)" else empty end' "$TMP/json"
	} >>"$TMP/log"
}

# The middle one of the numbers that an awk program prints.
median() { # [-v name=value…] program
	awk "$@" "$TMP/log" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

resting() { # runtime objects: sets n, mib, walk, paths, memory
	: >"$TMP/log"
	start "$1" "$TMP/big.lua" "$2"
	for ((i = 0; i < RUNS; i++)); do census; done
	stop
	n=$(median '/objects: walked in/ { print $2 / 1e6 }')
	mib=$(median '$1 == "heap" { print $2 / 1048576 }')
	walk=$(median '/objects: walked in/ { for (i = 1; $(i + 1) !~ /^ms/; i++); print $i / ($2 / 1e6) }')
	paths=$(median '/objects: walked in/ { s = k = 0; for (i = 1; i < NF; i++)
		if ($(i + 1) ~ /^ms/ && k++) s += $i; print s / ($2 / 1e6) }')
	memory=$(median -v mib="$mib" '$1 == "memory" { print $2 / 1024 / mib }')
}

restless() { # runtime tables: sets pause, gap (ms a MiB), busy_mib
	: >"$TMP/log"
	start "$BUILD/hosts/census_states-$1" -n "$2" -b -w
	for ((i = 0; i < RUNS; i++)); do census; done
	busy_mib=$(median '$1 == "heap" { print $2 / 1048576 }')
	pause=$(median -v mib="$busy_mib" '$1 == "pause" { print $2 / mib }')
	echo >"$TMP/in"
	until grep -qs '^done' "$TMP/out"; do sleep 0.05; done
	gap=$(grep '^{' "$TMP/out" | jq --argjson mib "$busy_mib" '.longest_gap_us / 1000 / $mib')
	stop
}

# From the first row of a runtime to its last.
growth() { # file of rows: MiB walk paths memory pause
	awk 'NR == 1 { split($0, a) }
		END { for (i = 1; i <= NF; i++) printf " %.2f", $i / a[i] }' "$1"
}

mkfifo "$TMP/in"
runtimes=${1:-"lua5.4 luajit"}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- 1000000 4000000 10000000 15000000
echo "| runtime | million objects | Lua heap MiB | walk ms/M | paths ms/M | memory × heap | busy heap MiB | pause ms/MiB | longest gap ms/MiB |"
echo "|---|---|---|---|---|---|---|---|---|"
for rt in $runtimes; do
	: >"$TMP/rows"
	for objects; do
		resting "$rt" "$objects"
		restless "$rt" "$objects"
		printf '| %s | %.2f | %.0f | %.0f | %.0f | %.2f | %.0f | %.2f | %.2f |\n' "$rt" "$n" "$mib" \
			"$walk" "$paths" "$memory" "$busy_mib" "$pause" "$gap"
		echo "$mib $walk $paths $memory $pause" >>"$TMP/rows"
	done
	read -r mib walk paths memory pause <<<"$(growth "$TMP/rows")"
	printf '| %s, last / first | | %s | %s | %s | %s | | %s | |\n' "$rt" "$mib" "$walk" "$paths" \
		"$memory" "$pause"
done
