#!/bin/bash
# After detach, and after SIGKILL of the tracer, the target's text equals the file, and it runs on.
# alone: compares the text of processes that others may have probed
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

# text_differs PID MODULE: bytes in which the mapped code differs from the file
text_differs() {
	local pid=$1 module=$2 range start end offset
	range=$(grep -E " r-xp .* $module\$" "/proc/$pid/maps" | head -1)
	start=$((16#${range%%-*}))
	end=${range#*-}
	end=$((16#${end%% *}))
	offset=$((16#$(echo "$range" | awk '{print $3}')))
	cmp -l <(dd if="/proc/$pid/mem" bs=4096 iflag=skip_bytes,count_bytes skip="$start" \
		count=$((end - start)) 2>/dev/null) \
		<(dd if="$module" bs=4096 iflag=skip_bytes,count_bytes skip="$offset" \
			count=$((end - start)) 2>/dev/null) 2>/dev/null | wc -l
}

for rt in lua5.1 lua5.4 luajit; do
	exe=$(readlink -f "$(command -v "$rt")")
	"$rt" "$ROOT/tests/lua/leak.lua" 600 >"$TMP/$rt.out" &
	target=$!
	pids+=("$target")
	wait_for 10 has_line '^ready$' "$TMP/$rt.out"
	is "$(text_differs "$target" "$exe")" 0 "$rt: text equals the file before"

	start_trace "$rt" -p "$target" -m exact
	like "$(text_differs "$target" "$exe")" '^[1-9]' "$rt: the comparison sees breakpoints while traced"
	stop_trace
	is "$(text_differs "$target" "$exe")" 0 "$rt: text equals the file after Ctrl-C"

	for _ in 1 2 3 4 5; do
		"$TRACER" -p "$target" -m exact -q >/dev/null 2>&1 &
		tracer=$!
		sleep "0.$((RANDOM % 6 + 1))"
		kill -9 "$tracer"
		wait "$tracer" 2>/dev/null
	done
	wait_for 5 test "$(text_differs "$target" "$exe")" = 0
	is "$(text_differs "$target" "$exe")" 0 "$rt: text equals the file after SIGKILL of five tracers"
	none_left_in_kernel
	ok $? "$rt: no program is left in the kernel"

	for _ in $(seq 10); do
		"$TRACER" -p "$target" -m exact -d 0.1 -q >/dev/null || echo failed
	done >"$TMP/$rt.again"
	is "$(cat "$TMP/$rt.again")" "" "$rt: ten more traces under load"
	is "$(text_differs "$target" "$exe")" 0 "$rt: text equals the file after them"
	is "$(awk '/State/ {print $2}' "/proc/$target/status" | tr -d 'RS')" "" "$rt: target runs"
	kill "$target"
done
done_testing
