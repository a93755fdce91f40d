#!/bin/bash
# With --native the C functions of a stack stand where they ran: above the Lua line that called
# them, between two Lua functions, below all of Lua down to the program's start. In files without
# frame pointers, stripped as the distribution has them.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

script=$ROOT/tests/lua/native.lua
at() { echo "@$script:$(grep -n -- "-- $1\$" "$script" | cut -d: -f1)"; }
frames='(.via // []) + .stack'
# Lua lines and planted C functions, innermost first
shape="[$frames | .[] | .lua // (.native // \"\" | select(startswith(\"planted_\")))] | join(\" \")"

run() { # name options… -- command…
	local name=$1 options=()
	shift
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	start_gated "$name" "$@"
	start_trace "$name" -p "$target" -m exact --json --sample-bytes 1 "${options[@]}"
	open_gate
	wait_for 60 has_line '^done$' "$TMP/$name.out"
	stop_trace
	open_gate
}

sites() { # name line
	jq -c "select(.type == \"site\" and .stack[0].lua == \"$2\")" "$TMP/$1.trace"
}

for rt in $RUNTIMES; do
	mkdir -p "$TMP/$rt-c"
	# shellcheck disable=SC2046  # a list of flags
	gcc -O2 -shared -fPIC $(pkg-config --cflags "$rt") -o "$TMP/$rt-c/planted.so" \
		"$ROOT/tests/hosts/module/planted.c"
	run "$rt" --native -- "$rt" "$script" "$TMP/$rt-c"
	below="planted_back $(at INDEX) $(at META) $(at PCALL) $(at CO) $(at MAIN)"
	is "$(sites "$rt" "$(at UDATA)" | jq -r "select(.alloc_bytes > 2e5) | $shape" | sort -u)" \
		"planted_box planted_udata $(at UDATA) $below" "$rt: C functions stand between Lua's"
	is "$(sites "$rt" "$(at BUFFER)" | jq -r "select(.alloc_bytes > 1e6) | $shape" | sort -u)" \
		"planted_buffer $(at BUFFER) ${below/$(at INDEX)/@$script:$(($(grep -n INDEX "$script" | cut -d: -f1) + 1))}" \
		"$rt: …also below a buffer"
	is "$(sites "$rt" "$(at UDATA)" | jq -c "$frames | [.[0].native != null, .[-1].native != null, (map(.truncated // empty) | length)]" |
		sort -u)" '[true,true,0]' "$rt: from the allocator's caller down to the start of the program"
	is "$(jq -c 'select(.type == "end") | [.complete, .lost.stack_lost]' "$TMP/$rt.trace")" '[true,0]' \
		"$rt: nothing lost"
done

# A metamethod is run by the interpreter anew, and that shows.
for rt in lua5.1 lua5.4; do
	n=$(sites "$rt" "$(at UDATA)" | jq "select(.allocs > 0) | $frames | map(.lua // \"\") |
		index(\"$(at META)\") - index(\"$(at INDEX)\")" | sort -n | head -n 1)
	[ "${n:-0}" -gt 1 ]
	ok $? "$rt: between a metamethod and who caused it stand $((${n:-1} - 1)) C functions"
done

run only --lua-only -- lua5.4 "$script" "$TMP/lua5.4-c"
is "$(jq -c 'select(.type == "site") | (.via // []) + .stack | .[] | select(.native)' "$TMP/only.trace" | wc -l)" 0 \
	"--lua-only: no C function"
run plain -- lua5.4 "$script" "$TMP/lua5.4-c"
is "$(sites plain "$(at UDATA)" | jq -r "select(.alloc_bytes > 2e5) | $shape" | sort -u)" \
	"planted_udata $(at UDATA) $below" "otherwise: those that Lua knows"

# Below compiled code, which has no unwind tables, and through a callback of the FFI.
script=$ROOT/tests/lua/native_jit.lua
run jit --native -- luajit "$script"
is "$(sites jit "$(at TRACE)" | jq -c "select(.allocs > 0 and .kind == \"table\" and .stack[0].jit) |
	[.stack[1].native != null, .stack[-1].native != null, (.stack | map(.truncated // empty) | length)]" | sort -u)" \
	'[true,true,0]' "compiled code: C functions below the trace"
is "$(sites jit "$(at CALLBACK)" | jq -c "select(.allocs > 0) | .stack | map(.lua // .native) |
	[index(\"lj_vm_ffi_call\") != null, (map(test(\"qsort\")) | index(true)) < index(\"$(at SORT)\"),
	(index(\"$(at SORT)\") < length - 1)]" | sort -u)" '[true,true,true]' \
	"a callback of the FFI: Lua, the C library, Lua"
done_testing
