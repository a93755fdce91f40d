#!/bin/bash
# A short fixed run of the fuzz targets, without sanitizers: an error, never a crash, in bounded time.
# The golden recordings are the seeds. More: make fuzz.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../integration/lib.sh"
cd "$(dirname "$0")" || exit 1
command -v sqlite3 >/dev/null || skip_all "needs sqlite3"

for sql in ../golden/[a-r]*.sql ../golden/two-copies.sql; do
	version=$(sed -n "s/^-- schema \([0-9]*\)$/\1/p" "$sql")
	cat "../golden/schema-$version.sql" "$sql" | sqlite3 "$TMP/$(basename "${sql%.sql}").db"
done
like "$(timeout 300 "$BUILD/fuzz/db-plain" 60 1 "$TMP"/*.db 2>&1 | tail -n 3)" "^60 mutations of each of [5-9] files" \
	"60 mutations of each golden recording"

# Sound files that no recorder writes
lies() { # name SQL
	cp "$TMP/heaps.db" "$TMP/lies-$1.db"
	sqlite3 "$TMP/lies-$1.db" "$2" || echo "# $1"
}
many="WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <"
lies long-path "UPDATE object SET path = replace(printf('%.*c', 200000, 'x'), 'x', 'a → ')"
lies many-objects "$many 50000) INSERT INTO object SELECT 4, i + 100, 1, 1, 'table', 0, 1, i, 'o' || i, '→→→' FROM n"
lies many-states "$many 50000) INSERT INTO state SELECT i + 100, 1, i, 1, 1, 1, NULL, NULL, 1, 1, 0, 0 FROM n;
	INSERT INTO state_at SELECT id, 4, 1, 1, 1 << 62, 1 << 62, 1 << 62, 1, 1, 1, 1, 1, 1, NULL, 1, 1, 1, 1 FROM state WHERE id > 100"
lies many-moments "$many 100000) INSERT INTO snapshot SELECT i + 4, 1 << 62, 1, 0, 'exact', 0, 0, 0, 0, 0, 0, 0, NULL, 0, 0, 0 FROM n"
lies big-numbers "UPDATE object SET bytes = 1 << 62, count = 1 << 62; UPDATE holder SET retained_bytes = 1 << 62;
	UPDATE site_at SET live_bytes = 1 << 62, growth_bytes_per_s = 1e308"
lies negative "UPDATE object SET bytes = -1"
lies types "UPDATE census SET time_ns = NULL, reason = NULL; UPDATE site SET kind = NULL"
lies no-census "DELETE FROM census"
lies no-moments "DELETE FROM snapshot"
lies huge-text "UPDATE finding SET message = printf('%.*c', 1500000, 'x'); UPDATE meta SET value = printf('%.*c', 1000000, '<')"
for f in "$TMP"/lies-*.db; do
	timeout 60 "$BUILD/fuzz/db-plain" 0 0 "$f" >"$TMP/out" 2>&1
	is $? 0 "a file that lies: $(basename "${f%.db}")"
done
for part in 1 2 3 5 7; do
	head -c $(($(stat -c %s "$TMP/heaps.db") * part / 8)) "$TMP/heaps.db" >"$TMP/short.db"
	"$TRACER" report "$TMP/short.db" >"$TMP/out" 2>"$TMP/err"
	is "$? $(wc -c <"$TMP/out") $(grep -c damaged "$TMP/err")" "2 0 1" "cut to $part/8: refused as damaged"
done
timeout 60 "$BUILD/fuzz/suppress-plain" 500 1 "$ROOT/docs/JSON.md" >/dev/null 2>&1
is $? 0 "500 mutations of what is no file of suppressions"
done_testing
