#!/bin/bash
# Truncated and lying ELF files, under the sanitizers: an error, no crash, bounded time.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"

FUZZ=$BUILD/fuzz/elf
newest=$(find "$ROOT/user/base" "$ROOT/user/discover" "$ROOT/user/resolve" "$ROOT/tests/fuzz" -name '*.[ch]' \
	-newer "$FUZZ" 2>/dev/null | head -n 1)
if [ ! -x "$FUZZ" ] || [ -n "$newest" ]; then
	"$ROOT/tests/fuzz/build.sh" "$FUZZ" >"$TMP/build.log" 2>&1 ||
		skip_all "the fuzz target does not build: $(tail -n 1 "$TMP/build.log")"
fi
gcc -O2 -w -pthread -I/usr/include/lua5.4 -o "$TMP/seed" "$ROOT/tests/hosts/ledger.c" \
	"$(gcc -print-file-name=liblua5.4.a)" -ldl -lm
strip "$TMP/seed"
like "$(timeout 120 "$FUZZ" 200 1 "$TMP/seed" 2>&1 | tail -n 3)" "^200 mutations" \
	"200 mutations of a program"
like "$(timeout 120 "$FUZZ" 30 2 "$(gcc -print-file-name=libluajit-5.1.so.2)" 2>&1 | tail -n 3)" \
	"^30 mutations" "30 mutations of LuaJIT"
find "$ROOT/tests/fuzz/corpus" -type f ! -name README >"$TMP/corpus"
xargs timeout 120 "$FUZZ" 0 0 <"$TMP/corpus" >"$TMP/out" 2>&1
is "$?" 0 "$(wc -l <"$TMP/corpus") kept files"
done_testing
