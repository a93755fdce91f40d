#!/bin/bash
# Folded stacks, SVG, HTML and pprof of a live run: well-formed, with the totals of the report, and
# not to be broken by any name the target chooses. A file that cannot be written is known at once.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

# export_run NAME SCRIPT COMMAND… -- ARGS…: a trace of the script with more arguments
export_run() {
	local name=$1 script=$2 cmd=()
	shift 2
	while [ "$1" != -- ]; do cmd+=("$1"); shift; done
	shift
	start_gated "$name" "${cmd[@]}" "$ROOT/tests/lua/$script" gate
	start_trace "$name" -p "$target" -m exact --sample-bytes 256 "$@"
	open_gate
	wait_for 60 has_line '^done$' "$TMP/$name.out"
	stop_trace
	open_gate
}

sum_of() { jq -s "[.[] | select(.type == \"site\") | .$1] | add" "$TMP/$2.trace"; }

check_svg() { # name: $TMP/NAME.svg
	xmllint --noout --nonet "$TMP/$1.svg"
	ok $? "$1: the SVG is well-formed XML"
	is "$(xmllint --xpath 'count(//*[local-name()="script"])' "$TMP/$1.svg" 2>/dev/null)" 1 \
		"$1: the SVG has one script, its own"
	[ "$(grep -c '<g class="f ' "$TMP/$1.svg")" -ge 5 ]
	ok $? "$1: the SVG draws frames"
}

check_folded() { # name: $TMP/NAME.folded
	ok "$([ -s "$TMP/$1.folded" ]; echo $?)" "$1: folded: there are stacks"
	is "$(grep -vcE '^[^;]+(;[^;]+)+ [0-9]+$' "$TMP/$1.folded")" 0 "$1: folded: frames and a number"
	is "$(grep -c '[[:cntrl:]]' "$TMP/$1.folded")" 0 "$1: folded: no control characters"
}

for script in hostile.lua deep.lua; do
	for rt in lua5.4 luajit; do
		n=$rt-${script%.lua}
		export_run "$n" "$script" "$rt" -- --json --flamegraph "$TMP/$n.html" --pprof "$TMP/$n.pb.gz" \
			-w "$TMP/$n.db"
		is "$status" 0 "$n: ends with status 0"
		python3 "$ROOT/tests/integration/pprof-totals.py" "$TMP/$n.pb.gz" >"$TMP/$n.pprof"
		is "$(jq -c '[.types, .default]' "$TMP/$n.pprof")" \
			'[["alloc_objects","alloc_space","inuse_objects","inuse_space"],"inuse_space"]' \
			"$n: pprof has the four types of a heap profile"
		is "$(jq -c '.sums | [.alloc_objects, .alloc_space, .inuse_objects, .inuse_space]' "$TMP/$n.pprof")" \
			"[$(sum_of allocs "$n"),$(sum_of alloc_bytes "$n"),$(sum_of live_blocks "$n"),$(sum_of live_bytes "$n")]" \
			"$n: pprof has the totals of the report"
		is "$(grep -c '<script>\|<img\|<svg' "$TMP/$n.html")" 0 "$n: no markup of the target in the page"
		is "$(grep -oE '<script[^>]*>' "$TMP/$n.html" | sed 's/nonce="[0-9a-f]*"/nonce/' | sort | uniq -c | tr -s ' ')" \
			"$(printf ' 1 <script nonce>\n 1 <script type="application/json" id="data">')" \
			"$n: only its own two script elements"
		sed -n 's/.*id="data">\(.*\)<\/script>$/\1/p' "$TMP/$n.html" >"$TMP/$n.data"
		is "$(jq '[.samples[][3]] | add' "$TMP/$n.data")" "$(sum_of live_bytes "$n")" \
			"$n: the page has the bytes of the report"
		is "$(grep -cE '<[a-z][^<>]*(src|href)=|https?://|@import|url\(' "$TMP/$n.html")" 0 "$n: the page loads nothing"

		# The same trace again, from its file
		"$TRACER" report "$TMP/$n.db" --flamegraph - >"$TMP/$n.svg"
		check_svg "$n"
		"$TRACER" report "$TMP/$n.db" -f=alloc_objects >"$TMP/$n.folded"
		check_folded "$n"
		"$TRACER" report "$TMP/$n.db" --folded --pprof "$TMP/$n.2.pb.gz" >"$TMP/$n.inuse"
		is "$(awk '{ s += $NF } END { print s }' "$TMP/$n.inuse") $(sum_of live_bytes "$n")" \
			"$(python3 "$ROOT/tests/integration/pprof-totals.py" "$TMP/$n.2.pb.gz" | jq .sums.inuse_space) $(sum_of live_bytes "$n")" \
			"$n: folded and pprof agree to the byte"
	done
done

# Live to stdout
export_run live-svg hostile.lua luajit -- --flamegraph -
mv "$TMP/live-svg.trace" "$TMP/live-svg.svg"
check_svg live-svg
export_run live-folded hostile.lua lua5.4 -- -f=alloc_objects --pprof "$TMP/live-folded.pb.gz"
mv "$TMP/live-folded.trace" "$TMP/live-folded.folded"
check_folded live-folded
is "$(awk '{ s += $NF } END { print s }' "$TMP/live-folded.folded")" \
	"$(python3 "$ROOT/tests/integration/pprof-totals.py" "$TMP/live-folded.pb.gz" | jq .sums.alloc_objects)" \
	"live: folded and pprof agree to the block"

# Go's own pprof reads it too.
pprof=$(find /usr/lib/go* -path '*tool*' -name pprof -type f 2>/dev/null | head -n 1)
if [ -n "$pprof" ]; then
	total=$(jq .sums.alloc_objects "$TMP/lua5.4-deep.pprof")
	is "$("$pprof" -raw -sample_index=alloc_objects "$TMP/lua5.4-deep.pb.gz" 2>/dev/null |
		awk '/^Samples:/ { on = 1; next } /^Locations/ { on = 0 } on && $1 ~ /^[0-9]+$/ { s += $1 } END { print s }')" \
		"$total" "Go's pprof finds the same number of allocations"
	like "$("$pprof" -top -cum -sample_index=inuse_space "$TMP/lua5.4-deep.pb.gz" 2>/dev/null)" 'recurse' \
		"and the names of Lua functions"
	like "$("$pprof" -tags "$TMP/lua5.4-deep.pb.gz" 2>/dev/null)" 'kind' "and the labels"
else
	skip "no pprof of Go here (Debian: golang-1.19-go)" "Go's pprof reads the profile"
fi

# A browser shows the page, and finds a frame, without a complaint on its console.
if command -v chromium >/dev/null; then
	browse() { # file fragment
		timeout 60 chromium --headless --no-sandbox --disable-gpu --user-data-dir="$TMP/profile" \
			--host-resolver-rules='MAP * ~NOTFOUND' --enable-logging=stderr --virtual-time-budget=3000 \
			--dump-dom "file://$1$2" 2>"$TMP/browser.err" >"$TMP/dom"
		is "$(grep -c 'CONSOLE' "$TMP/browser.err")" 0 "$(basename "$1") in a browser: nothing on its console"
	}
	browse "$TMP/lua5.4-deep.html" '#search=recurse'
	like "$(cat "$TMP/dom")" '<output id="hits">[1-9][0-9]* frames?, [0-9.]+ %' "a frame is found by search"
	like "$(cat "$TMP/dom")" '<section class="graph" id="graph">' "the graph is shown"
	browse "$TMP/lua5.4-hostile.html" ''
	like "$(cat "$TMP/dom")" '<section class="graph" id="graph">' "hostile names do not stop the script"
	browse "$TMP/lua5.4-deep.svg" '#search=recurse'
	like "$(cat "$TMP/dom")" 'matched: [0-9.]+ %' "the SVG's search finds it too"
else
	skip "no chromium here" "the page in a browser"
fi

# What cannot be written is said at the start; nothing is traced for nothing.
start_gated w lua5.4 "$ROOT/tests/lua/deep.lua" gate
for f in --flamegraph=/nonexistent/x.svg --pprof=/nonexistent/x.pb.gz; do
	timeout 20 "$TRACER" -p "$target" -m exact -d 5 "$f" >/dev/null 2>"$TMP/w.err"
	is $? 74 "${f%%=*}: a file that cannot be written: status 74"
	like "$(cat "$TMP/w.err")" "cannot write '/nonexistent/" "${f%%=*}: and the reason"
done
# Written beside, put in its place when whole: through no link, over nothing but a file
echo precious >"$TMP/precious"
ln -s "$TMP/precious" "$TMP/link.svg"
"$TRACER" -p "$target" -m exact -d 1 -q --flamegraph="$TMP/link.svg" >/dev/null 2>"$TMP/w.err"
is $? 74 "a symbolic link is not written through"
like "$(cat "$TMP/w.err")" "is a symbolic link" "and that is said"
is "$(cat "$TMP/precious")" precious "what it points to is as it was"
mkfifo "$TMP/fifo.svg"
timeout 20 "$TRACER" -p "$target" -m exact -d 1 -q --flamegraph="$TMP/fifo.svg" >/dev/null 2>"$TMP/w.err"
is $? 74 "a FIFO is refused"
echo old >"$TMP/old.svg"
"$TRACER" -p "$target" -m exact -d 1 -q --flamegraph="$TMP/old.svg" >/dev/null 2>"$TMP/w.err"
is "$? $(stat -c %a "$TMP/old.svg") $(grep -c '</svg>' "$TMP/old.svg")" "0 600 1" "a file is replaced, readable for its owner"
echo old >"$TMP/old.svg"
(ulimit -f 1; exec "$TRACER" -p "$target" -m exact -d 1 -q --flamegraph="$TMP/old.svg" >/dev/null 2>"$TMP/w.err")
is $? 74 "a file that grows beyond the limit of files ends in status 74"
is "$(cat "$TMP/old.svg")" old "what was there stays"
is "$(find "$TMP" -name '*.svg.??????' | wc -l)" 0 "nothing is left behind"
"$TRACER" -p "$target" -d 1 --flamegraph=/dev/full.txt >/dev/null 2>&1
is $? 2 "a flame graph that is neither SVG nor HTML is wrong usage"
"$TRACER" -p "$target" -d 1 --json --folded >/dev/null 2>&1
is $? 2 "two things to stdout are wrong usage"
"$TRACER" -p "$target" -d 1 --folded=nonsense >/dev/null 2>&1
is $? 2 "an unknown metric is wrong usage"
"$TRACER" -p "$target" -m exact -d 1 -q --flamegraph - >/dev/full 2>/dev/null
is $? 74 "a full disk: status 74"
open_gate
done_testing
