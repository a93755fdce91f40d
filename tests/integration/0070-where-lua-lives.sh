#!/bin/bash
# Lua is found wherever it is mapped from: dlopen'ed, static, twice, deleted, in another mount namespace.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

script=$ROOT/tests/lua/places.lua
kept=700 # blocks that each state keeps at each line, places.lua

# The line's live blocks in each state, one number a line
blocks_at() { # name line
	jq -s "[.[] | select(.type == \"site\" and .stack[0].lua == \"@$script:$2\")]
		| group_by([.pid, .state]) | .[] | map(.live_blocks) | add" "$TMP/$1.trace"
}

check() { # name states description command…
	local name=$1 states=$2 text=$3
	shift 3
	start_gated "$name" "$@"
	start_trace "$name" -p "$target" -m exact --json
	open_gate
	wait_for 30 has_line '^end$' "$TMP/$name.out"
	stop_trace
	is "$status" 0 "$text: status 0"
	is "$(jq -c 'select(.type == "state" and .state > 0) | .state' "$TMP/$name.trace" | wc -l)" \
		"$states" "$text: $states states"
	is "$(jq -c 'select(.type == "state" and .allocs > 5000) | .state' "$TMP/$name.trace" | wc -l)" \
		"$states" "$text: allocations in each"
	is "$(blocks_at "$name" 64 | awk -v k=$kept '$1 + 100 >= k' | wc -l)" "$states" \
		"$text: lines of each"
	is "$(nothing_lost "$TMP/$name.trace")" true "$text: nothing lost"
	open_gate
	wait "$target"
	is $? 0 "$text: the target ends well"
}

lib() { # file name of a library: where the loader finds it
	ldconfig -p | awk -v n="$1" '$1 == n { print $NF; exit }'
}
lj=$(lib libluajit-5.1.so.2)
l51=$(lib liblua5.1.so.0)
l54=$(lib liblua5.4.so.0)

check dl54 1 "5.4 by dlopen" "$HOSTS/dlopen" "$script" "$l54"
check dllj 1 "LuaJIT by dlopen" "$HOSTS/dlopen" "$script" "$lj"
check two 2 "LuaJIT and 5.4 in one process" "$HOSTS/dlopen" "$script" "$lj" "$l54"
check three 3 "5.1, LuaJIT and 5.4 in one process" "$HOSTS/dlopen" "$script" "$l51" "$lj" "$l54"
cp "$l54" "$TMP/other54.so"
check same 2 "two files with the same 5.4" "$HOSTS/dlopen" "$script" "$l54" "$TMP/other54.so"
check static 1 "5.4 in a static, stripped executable" "$HOSTS/static54" "$script"

for rt in lua5.4 luajit; do
	cp "$(command -v "$rt")" "$TMP/gone"
	start_gated "gone-$rt" "$TMP/gone" "$script" gate
	rm "$TMP/gone"
	start_trace "gone-$rt" -p "$target" -m exact --json
	open_gate
	wait_for 30 has_line '^done$' "$TMP/gone-$rt.out"
	stop_trace
	is "$(blocks_at "gone-$rt" 64 | awk -v k=$kept '$1 + 100 >= k' | wc -l)" 1 \
		"$rt whose executable was deleted: traced with its lines"
	open_gate
done

if unshare -m true 2>/dev/null; then
	mkdir "$TMP/ns"
	for rt in lua5.4 luajit; do
		start_gated "ns-$rt" unshare -m bash -c "mount -t tmpfs none '$TMP/ns' &&
			cp '$(command -v "$rt")' '$TMP/ns/lua' && exec '$TMP/ns/lua' '$script' gate"
		is "$(ls "$TMP/ns")" "" "$rt in another mount namespace: not visible from here"
		start_trace "ns-$rt" -p "$target" -m exact --json
		open_gate
		wait_for 30 has_line '^done$' "$TMP/ns-$rt.out"
		stop_trace
		is "$(blocks_at "ns-$rt" 64 | awk -v k=$kept '$1 + 100 >= k' | wc -l)" 1 \
			"$rt in another mount namespace: traced with its lines"
		open_gate
	done
else
	skip "unshare -m does not work here" "mount namespaces"
fi

# One trace of two processes
start_gated a lua5.4 "$script" gate
a=$target gate_a=$gate
start_gated b luajit "$script" gate
start_trace ab -p "$a,$target" -m exact --json
open_gate
echo >&"$gate_a"
wait_for 30 has_line '^done$' "$TMP/a.out"
wait_for 30 has_line '^done$' "$TMP/b.out"
stop_trace
cp "$TMP/ab.trace" "$TMP/both.trace"
is "$(blocks_at both 64 | awk -v k=$kept '$1 + 100 >= k' | wc -l)" 2 "two processes in one trace: lines of each"
is "$(jq -c 'select(.type == "process") | .pid' "$TMP/ab.trace" | sort -n | xargs)" \
	"$(printf '%s\n' "$a" "$target" | sort -n | xargs)" "two processes in one trace: both named"
done_testing
