#!/bin/bash
# A hostile mix over time: the tracer ends as it began. SOAK=SECONDS (default 40; `make soak`: half an hour).
# alone: watches its own memory and time
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

soak=${SOAK:-40}
leak=$ROOT/tests/lua/leak.lua
cp "$(command -v lua5.4)" "$TMP/soak"
mkdir -p "$TMP/lj" "$TMP/many"
cp "$(command -v luajit)" "$TMP/lj/soak"
cp "$HOSTS/many_states-lua5.3" "$TMP/many/soak"

rss() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }
# shellcheck disable=SC2012 # numbers only
descriptors() { ls "/proc/$1/fd" | wc -l; }

# watch SECONDS: with a word each minute
watch() {
	local left=$1
	while [ "$left" -gt 60 ]; do
		sleep 60
		left=$((left - 60))
		echo "# $(date +%T) RSS $(rss "$tracer") KiB, $(descriptors "$tracer") descriptors, $(wc -c <"$TMP/soak.trace") bytes told"
	done
	sleep "$left"
}

# Short lives, some of them ended by force
flock_of() { # program
	for _ in 1 2 3; do
		"$1" "$leak" 3 >/dev/null 2>&1 &
	done
	"$1" -e 'local t = {} for i = 1, 20000 do t[i % 100] = {} end' &
	sleep 1
	kill -9 %2 2>/dev/null
	kill -STOP %3 2>/dev/null
	sleep 0.2
	kill -CONT %3 2>/dev/null
	wait
}

mix() {
	while :; do
		flock_of "$TMP/soak"
		flock_of "$TMP/lj/soak"
	done >/dev/null 2>&1
}

rm -f "$TMP/many.in"
mkfifo "$TMP/many.in"
"$TMP/many/soak" 100 200 2 "$soak" 2000 <"$TMP/many.in" >"$TMP/many.out" &
many=$!
pids+=("$many")
exec {gate}>"$TMP/many.in"
wait_for 10 has_line '^ready' "$TMP/many.out"
start_trace soak -n soak -m exact --json --max-states 2000 --max-blocks 1000000
open_gate
(trap 'kill $(jobs -p) 2>/dev/null' EXIT; mix) &
mixer=$!
pids+=("$mixer")
watch $((soak * 6 / 10))
rss1=$(rss "$tracer") fds1=$(descriptors "$tracer") ticks1=$(awk '{ print $14 + $15 }' "/proc/$tracer/stat")
watch $((soak * 3 / 10))
rss2=$(rss "$tracer") fds2=$(descriptors "$tracer") ticks2=$(awk '{ print $14 + $15 }' "/proc/$tracer/stat")
kill "$mixer"
wait "$mixer" 2>/dev/null
wait_for $((20 + soak / 10)) has_line '^done$' "$TMP/many.out"
sleep 5
fds3=$(descriptors "$tracer")
echo "# RSS $rss1 then $rss2 KiB; descriptors $fds1, $fds2, $fds3 at rest; $(((ticks2 - ticks1) * 10 / (soak * 3))) % of a core"
stop_trace
is "$status" 0 "status 0"
[ "$rss2" -lt $((rss1 + rss1 / 4)) ]
ok $? "resident memory is level"
[ "$fds2" -lt $((fds1 + 24)) ] && [ "$fds3" -lt $((fds1 + 8)) ]
ok $? "no descriptor is left behind"
born=$(awk '/^runs/ { print $4 }' "$TMP/many.out")
is "$(jq -cs '[.[] | select(.type == "end") | .lost | {map_full, state_full, stack_full, ring_full} | select(add > 0)]' "$TMP/soak.trace")" "[]" \
	"nothing lost with $born states born and closed"
is "$(jq -s '[.[] | select(.type == "state") | .allocs] | add' "$TMP/soak.trace")" \
	"$(jq -s '[.[] | select(.type == "site") | .allocs] | add' "$TMP/soak.trace")" "the books add up"
[ "$(jq -r 'select(.type == "process") | .pid' "$TMP/soak.trace" | sort -u | wc -l)" -gt 5 ]
ok $? "processes that came and went are reported"
echo >&"$gate"
none_left_in_kernel
ok $? "nothing of ours is left in the kernel"
done_testing
