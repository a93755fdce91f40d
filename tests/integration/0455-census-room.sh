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

# In a cgroup of ours, whichever version has memory here.
for group in /sys/fs/cgroup/memory/lmt.$$ /sys/fs/cgroup/lmt.$$; do
	mkdir "$group" 2>/dev/null || continue
	for limit in memory.limit_in_bytes memory.max; do
		[ ! -w "$group/$limit" ] || echo 80M >"$group/$limit"
	done
	grep -qs 83886080 "$group/memory.limit_in_bytes" "$group/memory.max" && break
	rmdir "$group"
	group=
done
if [ -d "$group" ]; then
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
