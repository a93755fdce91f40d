#!/bin/bash
# Stripped, static, symbol-free programs: the ledger agrees with the program's own books.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

FIELDS='[(.L), (.allocs), (.frees), (.reallocs), (.failures), (.alloc_bytes), (.live_bytes), (.live_blocks)] | map(tostring) | join(" ")'

compare() { # name runtime flags…; TABLES=no: without unwind tables
	local name=$1 rt=$2 archive
	shift 2
	archive=$(gcc -print-file-name="lib$rt.a")
	[ "$rt" = luajit ] && archive=$(gcc -print-file-name=libluajit-5.1.a)
	# shellcheck disable=SC2046  # several flags
	gcc -O2 -w -s -pthread $(pkg-config --cflags "$rt") "$@" -o "$TMP/$name" \
		"$ROOT/tests/hosts/ledger.c" "$archive" -ldl -lm 2>"$TMP/link.log"
	[ "${TABLES:-}" = no ] && strip -R .eh_frame -R .eh_frame_hdr "$TMP/$name" 2>/dev/null
	start_gated "$name" "$TMP/$name" -t 2 -s 2 -b 2 "$ROOT/tests/lua/mix.lua"
	start_trace "$name" -p "$target" -m exact --json
	open_gate
	wait_for 120 has_line '^done$' "$TMP/$name.out"
	stop_trace
	grep '^{' "$TMP/$name.out" | jq -r ".states[] | $FIELDS" | sort >"$TMP/$name.truth"
	jq -r "select(.type == \"state\" and .state > 0) | $FIELDS" "$TMP/$name.trace" | sort >"$TMP/$name.seen"
	is "$(wc -l <"$TMP/$name.truth")" 8 "$name: eight states ran"
	is "$(diff "$TMP/$name.truth" "$TMP/$name.seen" | head -8)" "" "$name: every state's books agree"
	is "$(jq -c 'select(.type == "end") | [.complete, (.lost | map(values) | add)]' "$TMP/$name.trace")" \
		'[true,0]' "$name: nothing lost"
	open_gate
	wait "$target"
	is $? 0 "$name: target ends with status 0"
}

for rt in $RUNTIMES; do
	compare "static-$rt" "$rt" -static -no-pie
	compare "pie-$rt" "$rt" -fcf-protection
	[ "$rt" = luajit ] || # it raises its own errors by these tables
		TABLES=no compare "bare-$rt" "$rt" -static -no-pie
done
done_testing
