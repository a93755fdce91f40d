#!/bin/bash
# Incident files, kept as SQL text, give these bytes: text, JSON, what grew. No privilege needed.
# usage: run.sh [--update]   (--update: what is written now is right; look at the diff)
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../integration/lib.sh"
cd "$(dirname "$0")" || exit 1
command -v sqlite3 >/dev/null || skip_all "needs sqlite3"
update=${1:-}

# same NAME.KIND COMMAND…: its output is the file's, whatever the version of the program
same() {
	local name=$1
	shift
	"$@" 2>&1 | sed -E 's/^(luamemtrace |.*"schema":[0-9]+,"version":")[0-9]+\.[0-9]+\.[0-9]+/\1VERSION/g' >"$TMP/$name"
	[ "$update" = --update ] && cp "$TMP/$name" "$name"
	diff "$name" "$TMP/$name" >"$TMP/diff"
	ok $? "$name"
	head -n 10 "$TMP/diff" | sed 's/^/# /'
}

for sql in *.sql; do
	name=${sql%.sql}
	case $name in
	schema-*) continue ;;
	esac
	version=$(sed -n "s/^-- schema \([0-9]*\)$/\1/p" "$sql")
	cat "schema-$version.sql" "$sql" | sqlite3 "$TMP/$name.db"
	same "$name.txt" "$TRACER" report "$TMP/$name.db"
	same "$name.json" "$TRACER" report "$TMP/$name.db" --json
	same "$name.at.json" "$TRACER" report "$TMP/$name.db@0" --json
	same "$name.diff.txt" "$TRACER" diff "$TMP/$name.db@0" "$TMP/$name.db"
	same "$name.diff.json" "$TRACER" diff "$TMP/$name.db@0" "$TMP/$name.db" --json
	"$TRACER" report "$TMP/$name.db" --html "$TMP/$name.html"
	is $? 0 "$name: a page is written"
	is "$(grep -cP '<script>alert|<img|<svg onload|[\x00-\x08\x0b-\x1f\x7f]|\xe2\x80\xae' "$TMP/$name.html")" 0 \
		"$name: no name is more than a name on it"
	is "$(grep -oE '<script[^>]*>' "$TMP/$name.html" | grep -cvE 'nonce=|application/json')" 0 \
		"$name: only its own scripts"
	is "$(grep -cE '(src|href)="?[a-z]+:' "$TMP/$name.html")" 0 "$name: it loads nothing"
	ok "$([ "$(stat -c %s "$TMP/$name.html")" -lt 1000000 ]; echo $?)" "$name: it is below 1 MB"
	rm -f "$TMP/$name.db"
done

# The tables are still those of the newest schema
newest=$(find . -name 'schema-*.sql' | sort -V | tail -n 1)
grep -v '^--' "$newest" | sqlite3 "$TMP/new.db"
like "$("$TRACER" report "$TMP/new.db" 2>&1)" "nothing was recorded" "the text of the tables is that of the program"
done_testing
