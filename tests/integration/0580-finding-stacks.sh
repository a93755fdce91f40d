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
done_testing
