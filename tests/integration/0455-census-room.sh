#!/bin/bash
# Where a copy of the heap could make memory run out nothing is copied: the kernel would kill somebody.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

cat >"$TMP/big.lua" <<'E2'
local t = {}
for i = 1, 400000 do t[i] = { i, tostring(i) } end
print("ready")
io.read()
E2
start_gated big lua5.4 "$TMP/big.lua"

if memory_group 83886080; then
	sh -c 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"' sh "$group" \
		"$TRACER" census -p "$target" >"$TMP/small" 2>"$TMP/small.err"
	is "$?" 70 "with too little memory the census is refused"
	like "$(cat "$TMP/small.err")" 'not copied: that may take [0-9]+ MiB of memory, and [0-9]+ are free here; make room' "with both figures"
	rmdir "$group"
else
	skip "no cgroup that limits memory can be made here" "with too little memory the census is refused"
fi
"$TRACER" census -p "$target" --json >"$TMP/large" 2>"$TMP/large.err"
is "$(jq -r 'select(.type == "state") | .heap_bytes > 50000000' "$TMP/large")" true "with enough it is taken"
done_testing
