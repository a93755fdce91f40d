#!/bin/bash
# Thousands of caught errors while every probe is attached: each must be caught, in every runtime,
# in builds that raise by longjmp, by LuaJIT's unwinder and by C++ exceptions.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

survives() { # name description command…
	local name=$1 text=$2
	shift 2
	start_gated "$name" "$@"
	start_trace "$name" -p "$target" -m exact --json
	open_gate
	wait_for 120 has_line '^done$' "$TMP/$name.out"
	is $? 0 "$text: ran to its end while traced"
	stop_trace
	is "$status" 0 "$text: tracer ends with status 0"
	open_gate
	wait "$target"
	is $? 0 "$text: target ends with status 0"
	like "$(jq -c 'select(.type == "end") | .overhead.events' "$TMP/$name.trace")" '^[0-9]{4,}$' \
		"$text: and was traced"
}

for rt in $RUNTIMES; do
	survives "$rt" "$rt" "$rt" "$ROOT/tests/lua/errors.lua" 2000 gate
	like "$(cat "$TMP/$rt.out")" '^caught 24000$' "$rt: all 24000 errors were caught"
	# The same through an embedder's allocator, which gets the return probe then.
	survives "host-$rt" "$rt, own allocator" "$HOSTS/ledger-$rt" -t 2 "$ROOT/tests/lua/errors.lua"
	like "$(cat "$TMP/host-$rt.out")" '^caught 36000$' "$rt, own allocator: all were caught"
done
for v in 5.1 5.2 5.3 5.4; do
	host=$HOSTS/ledger-lua$v-c++
	survives "cxx$v" "lua$v built as C++" "$host" -l "$ROOT/tests/lua/errors.lua"
	like "$(cat "$TMP/cxx$v.out")" '^caught 36000$' "lua$v built as C++: all errors were caught"
	is "$(cat "$TMP/cxx$v.err")" "" "lua$v built as C++: nothing on stderr"
done
done_testing
