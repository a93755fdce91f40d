#!/bin/bash
# A heap that is damaged is refused with a reason, or counted where the damage is in values; in
# bounded time, and the target goes on as it was.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root
command -v python3 >/dev/null || skip_all "needs python3 to damage a heap"

damaged() { # runtime seed words
	local start=$SECONDS status
	start_gated "damaged-$1" "$1" "$ROOT/tests/lua/census_plant.lua"
	python3 "$ROOT/tests/integration/damage.py" "$target" "$2" "$3"
	timeout -s KILL 60 "$TRACER" census -p "$target" --json >"$TMP/out" 2>"$TMP/err"
	status=$?
	[ "$status" = 66 ] && status=70 # not even a state is left
	case $status in
	0) jq -e 'select(.type == "end")' "$TMP/out" >/dev/null ;;
	70) grep -Eq 'no state could be counted: .|no Lua' "$TMP/err" ;;
	*) false ;;
	esac
	ok $? "$1, $3 words damaged (seed $2): told or refused with a reason, status $status"
	[ $((SECONDS - start)) -lt 30 ]
	ok $? "$1: in bounded time"
	like "$(cat /proc/"$target"/status)" '^State:	S' "$1: the target sleeps on"
	kill -9 "$target"
}

for rt in lua5.1 lua5.4 luajit; do
	damaged "$rt" 1 1
	damaged "$rt" 2 30
	damaged "$rt" 3 3000
done

# The heap's list of all objects bent into a ring, by an object that points back at itself.
start_gated ring lua5.4 "$ROOT/tests/lua/census_plant.lua"
entry=$(awk '$1 == "entry" { print $2 }' "$TMP/ring.out")
python3 - "$target" "$entry" <<'PY'
import os, sys
mem = os.open(f"/proc/{sys.argv[1]}/mem", os.O_RDWR)
at = int(sys.argv[2], 16)
os.pwrite(mem, at.to_bytes(8, "little"), at)
PY
"$TRACER" census -p "$target" --json >"$TMP/out" 2>"$TMP/err"
is $? 70 "a list that is a ring: refused"
like "$(cat "$TMP/err")" 'an object is listed twice' "and why"
is "$(jq -c 'select(.type == "end") | .complete' "$TMP/out")" false "and not complete"
kill -9 "$target"
done_testing
