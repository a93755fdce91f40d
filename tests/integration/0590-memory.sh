#!/bin/bash
# The first lines: how large a process is, where its memory is, what grows, and when the limit is reached.
# SPDX-License-Identifier: MIT
# alone: rates are measured
. "$(dirname "$0")/lib.sh"
need_root

memory() { # trace: the last record of the process
	jq -c 'select(.type == "process")' "$1" | tail -n 1
}

# near NAME EXPECTED_BYTES RECORD KEY…: the sum of the keys is that, to two percent
near() {
	local name=$1 expected=$2 record=$3
	shift 3
	local sum
	sum=$(jq -n --argjson r "$record" '[$ARGS.positional[] as $k | $r[$k] // 0] | add' --args "$@")
	ok "$(jq -n --argjson a "$sum" --argjson b "$expected" 'if ($a - $b | fabs) <= $b * 0.02 + 200000 then 0 else 1 end')" \
		"$name: $((sum >> 10)) KiB, $((expected >> 10)) expected"
}

sums_up() { # name record
	is "$(jq -n --argjson r "$2" '$r | .lua_bytes + .lua_garbage_bytes + (.allocator_free_bytes // 0) + .native_bytes +
		.other_bytes == .rss_bytes')" true "$1: the parts add up to the resident size"
}

# Without the JIT: where its machine code comes to lie above the break, malloc() goes on in mappings that are
# not known to be its own, and what is free in them is taken for C code's.
for sizes in "40 0 10" "20 60 5" "4 1 60"; do
	# shellcheck disable=SC2086
	start_gated "m" luajit -joff "$ROOT/tests/lua/memory.lua" $sizes
	read -r _ used _ free _ lua < <(grep '^used' "$TMP/m.out")
	"$TRACER" -p "$target" -d 2 --json >"$TMP/m.trace" 2>"$TMP/m.err"
	r=$(memory "$TMP/m.trace")
	near "$sizes, C heap" "$used" "$r" native_bytes
	near "$sizes, Lua" "${lua%.*}" "$r" lua_bytes lua_garbage_bytes
	ok "$(jq -n --argjson r "$r" --argjson free "$free" 'if $r.allocator_free_bytes >= $free * 0.98 - 200000 then 0 else 1 end')" \
		"$sizes, free: at least what malloc() says ($((free >> 10)) KiB)"
	sums_up "$sizes" "$r"
	near "$sizes, resident" "$(awk '/^VmRSS/ { print $2 * 1024 }' "/proc/$target/status")" "$r" rss_bytes
	is "$(jq -r '.native_growth_bytes_per_s // "none"' <<<"$r")" none "$sizes: two seconds tell no growth"
	open_gate
	wait "$target"
done

# A heap of malloc()ed blocks is Lua's and malloc's headers, not C code's, but for what malloc() rounds up.
cat >"$TMP/small.lua" <<'E2'
local t = {}
for i = 1, 300000 do t[i] = { i, tostring(i) } end
collectgarbage() collectgarbage()
print('used', collectgarbage 'count' * 1024)
print 'ready'
io.flush()
io.read()
E2
for lua in lua5.1 lua5.4; do
	start_gated "$lua" "$lua" "$TMP/small.lua"
	read -r _ used < <(grep '^used' "$TMP/$lua.out")
	"$TRACER" -p "$target" -d 2 --json >"$TMP/m.trace" 2>"$TMP/m.err"
	r=$(memory "$TMP/m.trace")
	near "$lua, Lua" "${used%.*}" "$r" lua_bytes lua_garbage_bytes
	ok "$(jq -n --argjson r "$r" 'if $r.native_bytes < $r.lua_bytes * 0.17 then 0 else 1 end')" \
		"$lua: next to nothing is C code's ($(jq '.native_bytes / 1024 | floor' <<<"$r") KiB)"
	sums_up "$lua" "$r"
	open_gate
	wait "$target"
done

# C code that takes ever more, in every mode; a twin that has as much from the start.
for mode in auto watch exact; do
	start_gated "grow" luajit "$ROOT/tests/lua/memory.lua" 4 0 1 100
	"$TRACER" -p "$target" -m "$mode" -d 27 --json >"$TMP/grow.trace" 2>"$TMP/grow.err"
	is "$(jq -r 'select(.type == "finding") | .kind' "$TMP/grow.trace" | sort -u)" native-growth "$mode: growth of C memory is told"
	rate=$(jq -r 'select(.kind == "native-growth") | .evidence.growth_bytes_per_s' "$TMP/grow.trace" | tail -n 1)
	ok "$(awk -v r="${rate:-0}" 'BEGIN { exit !(r > 60000 && r < 105000) }'; echo $?)" "$mode: ${rate%.*} bytes a second of 100,000"
	{ kill "$target"; wait "$target"; } 2>/dev/null
done
start_gated twin luajit -joff "$ROOT/tests/lua/memory.lua" 12 4 2
"$TRACER" -p "$target" -m watch -d 25 --exit-code >"$TMP/twin.txt" 2>"$TMP/twin.err"
is "$?" 0 "memory that stays gives no finding"
like "$(sed -n 3p "$TMP/twin.txt")" '^memory +[0-9.]+ MiB resident, does not grow' "…and the third line says that it does not grow"
like "$(sed -n 4p "$TMP/twin.txt")" 'Lua [0-9.]+ [KM]iB .*free in allocators [0-9.]+ MiB · C heap [0-9.]+ MiB' "…and the fourth where it is"
open_gate

# A limit, and when it will be reached.
if memory_group 209715200; then
	start_gated limited luajit "$ROOT/tests/lua/memory.lua" 4 0 1 200
	echo "$target" >"$group/cgroup.procs"
	"$TRACER" -p "$target" -m watch -d 8 --json >"$TMP/l.trace" 2>"$TMP/l.err"
	r=$(memory "$TMP/l.trace")
	is "$(jq -r '"\(.memory_limit_bytes) \(.memory_limit)"' <<<"$r")" "209715200 cgroup" "the limit of its cgroup"
	left=$(jq '.limit_reached_in_s // 0 | floor' <<<"$r")
	ok "$([ "$left" -gt 600 ] && [ "$left" -lt 2000 ]; echo $?)" "…will be reached in $left s (200 MB at 0.2 MB/s)"
	{ kill "$target"; wait "$target"; } 2>/dev/null
	rmdir "$group"
else
	skip "no cgroup that limits memory can be made here" "the limit of its cgroup"
fi
(ulimit -v 1000000 && exec luajit "$ROOT/tests/lua/memory.lua" 4 0 1 200 >"$TMP/v.out" 2>&1) &
pids+=($!)
wait_for 20 has_line '^ready' "$TMP/v.out"
"$TRACER" -p "${pids[-1]}" -m watch -d 6 >"$TMP/v.txt" 2>"$TMP/v.err"
like "$(sed -n 3p "$TMP/v.txt")" 'limit 976.6 MiB \(RLIMIT_AS\), [0-9.]+ MiB left, reached in [0-9]+ (min|h)' "RLIMIT_AS"

# From the file the same.
start_gated "grow" luajit "$ROOT/tests/lua/memory.lua" 4 0 1 100
"$TRACER" record -p "$target" -w "$TMP/m.db" -d 6 2>"$TMP/rec.err"
is "$("$TRACER" report "$TMP/m.db" --json | jq -r 'select(.type == "process") | .native_bytes > 4000000 and .native_growth_bytes_per_s > 50000')" \
	true "a recording has it"
is "$(sqlite3 "$TMP/m.db" 'SELECT count(*) > 2, min(rss_bytes = lua_bytes + lua_garbage_bytes + allocator_free_bytes + native_bytes +
	allocator_overhead_bytes + machine_code_bytes + stack_bytes + file_bytes + shared_bytes + rest_bytes) FROM v_memory')" "1|1" \
	"…over time, and it adds up"
done_testing
