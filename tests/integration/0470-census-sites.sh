#!/bin/bash
# Tables by the line that could have made them: by the keys that a constructor and what follows it
# set, and for lists by their size. What more than one line makes is said to be of one of them, what
# none is known to make goes by its size.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

script=$ROOT/tests/lua/census_sites.lua
line_of() { grep -n "$1" "$script" | head -1 | cut -d: -f1; }
made_at() { # line: how many tables are told to be made there, and nowhere else
	jq -r --arg o "census_sites.lua:$1" 'select(.type == "object" and .kind == "table" and (.dead | not) and
		(.origin | startswith("one of") | not) and (.origin | endswith($o))) | .count' "$TMP/sites"
}

for rt in $RUNTIMES; do
	start_gated "sites-$rt" "$rt" "$script"
	"$TRACER" census -p "$target" --by site --json >"$TMP/sites" 2>"$TMP/sites.err"
	is $? 0 "$rt: census by site"
	# A template of LuaJIT's, among the constants of the function, is one more.
	for what in '{ x = i' 'id = i' '{ i, i, i }' 'tag = "m"' '{ a1 = 1' 'kind = "const"' 'outer = i'; do
		n=$(made_at "$(line_of "$what")")
		[ "$what" = 'outer = i' ] && n=$((n / 2)) # two tables on one line
		like "$n" '^100[01]$' "$rt: made by $what"
	done
	like "$(made_at $(($(line_of 'function added') + 1)))" '^100[01]$' "$rt: keys added behind the constructor"
	one=$(line_of 'function one')
	is "$(jq -r --arg a "census_sites.lua:$one" --arg b "census_sites.lua:$((one + 1))" \
		'select(.type == "object" and .kind == "table" and (.origin | startswith("one of 2: ")) and
		(.origin | contains($a)) and (.origin | contains($b))) | .count - .count % 10' "$TMP/sites")" 2000 \
		"$rt: of two lines that make the same, both are named"
	is "$(made_at $(($(line_of 'function built') + 1)))" "" "$rt: computed keys are nobody's"
	is "$(jq -s '[.[] | select(.type == "object" and .kind == "table") | select(.origin == null)] | length' \
		"$TMP/sites")" 0 "$rt: every table has a maker or a size"
	is "$(jq -s '([.[] | select(.type == "state") | .heap_bytes - .difference_bytes] | add) -
		([.[] | select(.type == "object") | .bytes] | add)' "$TMP/sites")" 0 "$rt: it adds up"
	kill -9 "$target"
done
done_testing
