#!/bin/bash
# The census on growing heaps: what each part costs a million objects, the pause, the memory.
# usage: census.sh [RUNTIME [OBJECTS…]]     (default: lua5.4 and luajit, 1 to 6 million)
#
# A line each: runtime, objects, MiB of heap; ms a million objects for walking, paths, groups and
# findings, dominators; ms a MiB for a copy into memory that is there already; memory of the
# tracer as a multiple of the heap.
# SPDX-License-Identifier: MIT
set -u
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=${BUILD:-$ROOT/build}
TMP=$(mktemp -d)
target=
trap '[ -n "$target" ] && kill "$target" 2>/dev/null; rm -rf "$TMP"' EXIT
[ "$(id -u)" = 0 ] || { echo "census.sh: needs root" >&2; exit 77; }

# Three objects an entry: two tables and a string.
cat >"$TMP/big.lua" <<'LUA'
local n = math.floor(tonumber(arg[1]) / 3)
big = {}
for i = 1, n do big[i] = { { i }, name = "entry " .. i } end
print("ready") io.stdout:flush()
while true do io.read() end
LUA

measure() { # runtime objects
	"$1" "$TMP/big.lua" "$2" <>"$TMP/in" >"$TMP/out" &
	target=$!
	until grep -qs '^ready' "$TMP/out"; do sleep 0.1; kill -0 "$target" || exit 1; done
	/usr/bin/time -f '%M' -o "$TMP/kib" "$BUILD/luamemtrace" census -p "$target" -v --by type \
		--pause-budget 5000 --json >"$TMP/json" 2>"$TMP/err"
	kill "$target"
	wait "$target" 2>/dev/null
	target=
	awk -v rt="$1" -v heap="$(jq 'select(.type == "state") | .heap_bytes' "$TMP/json")" \
		-v kib="$(tail -n 1 "$TMP/kib")" '
		/objects: walked in/ { n = $2 / 1e6; for (i = 1; i < NF; i++) if ($(i + 1) ~ /^ms/) ms[++k] = $i }
		/copied [0-9]+ KiB in/ { for (i = 1; i < NF; i++) if ($i == "copied") { copy = $(i + 4) / ($(i + 1) / 1024) } }
		END { mib = heap / 1048576
			printf "%-8s %5.2f M objects %7.1f MiB  walk %4.0f  paths %4.0f  groups %4.0f  retained %4.0f ms/M  copy %5.2f ms/MiB  memory %.2f x\n",
				rt, n, mib, ms[1] / n, ms[2] / n, ms[3] / n, ms[4] / n, copy, kib / 1024 / mib }' "$TMP/err"
}

mkfifo "$TMP/in"
runtimes=${1:-"lua5.4 luajit"}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- 1000000 3000000 6000000
for rt in $runtimes; do
	for n; do
		rm -f "$TMP/out"
		measure "$rt" "$n"
	done
done
