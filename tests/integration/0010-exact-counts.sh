#!/bin/bash
# A program that keeps its own books must agree with the ledger, call by call and byte by byte.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

# One line for each state, sorted: what the program counted, and what the tracer says.
FIELDS='[(.L), (.allocs), (.frees), (.reallocs), (.failures), (.alloc_bytes), (.live_bytes), (.live_blocks)] | map(tostring) | join(" ")'

compare() { # name description host-args…
	local name=$1 text=$2
	shift 2
	start_gated "$name" "$@"
	start_trace "$name" -p "$target" -m exact --json
	open_gate
	wait_for 120 has_line '^done$' "$TMP/$name.out"
	stop_trace
	is "$status" 0 "$text: tracer ends with status 0"
	grep '^{' "$TMP/$name.out" | jq -r ".states[] | $FIELDS" | sort >"$TMP/$name.truth"
	jq -r "select(.type == \"state\" and .state > 0) | $FIELDS" "$TMP/$name.trace" | sort >"$TMP/$name.seen"
	is "$(diff "$TMP/$name.truth" "$TMP/$name.seen" | head -8)" "" "$text: every state's books agree"
	is "$(jq -c 'select(.type == "end") | (.lost | del(.read_fault) | add)' "$TMP/$name.trace")" \
		0 "$text: nothing lost"
	is "$(jq -c 'select(.type == "state" and .state == 0)' "$TMP/$name.trace")" "" \
		"$text: every call is charged to its state"
	open_gate
	wait "$target"
	is $? 0 "$text: target ends with status 0"
}

for rt in $RUNTIMES; do
	host=$HOSTS/ledger-$rt
	compare "one-$rt" "$rt, one state" "$host" "$ROOT/tests/lua/mix.lua"
	compare "born-$rt" "$rt, states born and closed" "$host" -s 3 -b 6 "$ROOT/tests/lua/mix.lua"
	compare "ud-$rt" "$rt, an ud for each state" "$host" -g -s 2 -b 2 "$ROOT/tests/lua/mix.lua"
	compare "thr-$rt" "$rt, 4 threads of 3 states" "$host" -t 4 -s 3 -b 2 "$ROOT/tests/lua/mix.lua"
	compare "refuse-$rt" "$rt, an allocator that refuses" "$host" -f -s 2 "$ROOT/tests/lua/mix.lua"
done
# The ways of older kernels: two programs instead of one, and perf events instead of links.
for way in multi perf; do
	export LUAMEMTRACE_ATTACH=$way
	for rt in lua5.4 luajit; do
		compare "$way-$rt" "$rt by $way" "$HOSTS/ledger-$rt" -t 2 -s 2 -b 2 "$ROOT/tests/lua/mix.lua"
		compare "refuse-$way-$rt" "$rt by $way, an allocator that refuses" "$HOSTS/ledger-$rt" -t 2 -s 2 -b 2 -f \
			"$ROOT/tests/lua/mix.lua"
	done
done
unset LUAMEMTRACE_ATTACH
# Kernels up to 6.19 may refuse a thread its storage for a moment; then another table has it.
export LUAMEMTRACE_NO_STORAGE=1
for way in session multi; do
	for rt in lua5.4 luajit; do
		LUAMEMTRACE_ATTACH=$way compare "spare-$way-$rt" "$rt by $way, storage refused" "$HOSTS/ledger-$rt" \
			-t 8 -s 1 -b 1 "$ROOT/tests/lua/mix.lua"
	done
done
done_testing
