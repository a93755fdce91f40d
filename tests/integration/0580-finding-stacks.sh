#!/bin/bash
# A finding shows the whole way that led there, also through C, without --native: the C function
# that did it first. A recording keeps it.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

frames='(.via // []) + .stack'
for rt in lua5.1 lua5.4 luajit; do
	start_gated "$rt" "$HOSTS/inc_alloc-$rt" double
	start_trace "$rt" -p "$target" -m exact --json -w "$TMP/$rt.db"
	open_gate
	wait_for 60 has_line '^done' "$TMP/$rt.out"
	stop_trace
	open_gate
	jq -c 'select(.type == "finding" and .kind == "double-free")' "$TMP/$rt.trace" >"$TMP/$rt.live"
	is "$(jq -r '[.via[0].native, .stack[0].lua] | join(" ")' "$TMP/$rt.live" | sort -u)" 'lib @work.lua:1' \
		"$rt: the C function that freed twice, and the line that called it"
	is "$(jq -c "$frames | map(.native) | [index(\"run\") != null, index(\"run\") < index(\"main\")]" "$TMP/$rt.live" |
		sort -u)" '[true,true]' "$rt: …down to the program that runs Lua"
	"$TRACER" report "$TMP/$rt.db" --json | jq -c 'select(.type == "finding" and .kind == "double-free")' >"$TMP/$rt.file"
	is "$(cat "$TMP/$rt.file")" "$(cat "$TMP/$rt.live")" "$rt: the file says the same"
done
like "$("$TRACER" report "$TMP/lua5.4.db")" 'stack +lib < ' "and the report for people names it"

# Where a block was freed first is told like that, too, where the FFI is in use.
ffi=$ROOT/tests/lua/inc_ffi_twice.lua
start_gated twice luajit "$ffi"
start_trace twice -p "$target" -m exact --json -w "$TMP/twice.db"
open_gate
wait_for 60 has_line '^done' "$TMP/twice.out"
sleep 1 # names are read while it lives
stop_trace
(open_gate) 2>/dev/null
twice() { jq -c "select(.type == \"finding\" and .kind == \"$1\") | .evidence | $2" "$TMP/twice.trace" | sort -u; }
lua='map(.lua // empty | sub(".*:"; ""))'
is "$(twice double-free "[.alloc, .first_free | $lua]")" '[["15"],["16","18"]]' \
	"freed twice by the FFI: lines of the allocation, and all of the first free"
is "$(twice use-after-free "[.alloc, .free | $lua]")" '[["15"],["16","18"]]' \
	"the allocator's function gets memory that is free: the same"
is "$(twice double-free '[(.first_free_via | length > 0), (.first_free | map(.native) | index("lua_pcall") != null)]')" \
	'[true,true]' "…with C on both sides of the Lua frames"
is "$("$TRACER" report "$TMP/twice.db" --json | jq -c 'select(.type == "finding") | .evidence' | sort)" \
	"$(jq -c 'select(.type == "finding") | .evidence' "$TMP/twice.trace" | sort)" "…the file says the same"
like "$("$TRACER" report "$TMP/twice.db")" 'first free .* < .*inc_ffi_twice.lua:16 .*< .*inc_ffi_twice.lua:18' "…and the report for people"
"$TRACER" report "$TMP/twice.db" --html "$TMP/twice.html" 2>/dev/null
like "$(tr '\n' ' ' <"$TMP/twice.html")" '<dt>first free</dt><dd>[^!]*whole stack[^!]*give_back' "…and the page"
done_testing
