#!/bin/bash
# The page of an incident in a real browser: its script runs, draws and sorts; nothing of the file does.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
	skip_all "needs chromium"
command -v sqlite3 >/dev/null || skip_all "needs sqlite3"
golden=$ROOT/tests/golden

# look NAME WIDTH: the page's elements after its scripts have run, and what the browser complained of
look() {
	timeout 60 "$browser" --headless=new --no-sandbox --disable-gpu --user-data-dir="$TMP/profile" \
		--window-size="$2,900" --virtual-time-budget=2000 --enable-logging=stderr --dump-dom \
		"file://$TMP/$1.html" >"$TMP/$1.dom" 2>"$TMP/$1.log"
	grep 'CONSOLE' "$TMP/$1.log" >"$TMP/$1.console"
}

for name in leak two-copies hostile; do
	cat "$golden"/schema-1.sql "$golden/$name.sql" | sqlite3 "$TMP/$name.db"
	"$TRACER" report "$TMP/$name.db" --html "$TMP/$name.html" >"$TMP/$name.out"
	is "$? $(wc -c <"$TMP/$name.out")" "0 0" "$name: the page is all that is written"
	look "$name" 1200
	is "$(cat "$TMP/$name.console")" "" "$name: the browser has nothing to complain of"
	like "$(tr -d '\n' <"$TMP/$name.dom")" '<div id="plot"[^>]*><svg' "$name: the heap is drawn"
	like "$(tr -d '\n' <"$TMP/$name.dom")" 'id="plot-text"[^>]*>state [0-9]+.*: from [0-9.]+ [KMG]?i?B to' \
		"$name: and told in words"
	is "$(grep -c 'id="graph" hidden' "$TMP/$name.dom")" 0 "$name: the flame graph is drawn"
	like "$(tr -d '\n' <"$TMP/$name.dom")" '</aside>.*id="findings"' "$name: completeness stands first"
	like "$(cat "$TMP/$name.dom")" 'SELECT \* FROM v_sites' "$name: the SQL is there"
done
is "$(grep -cE '<img|<svg onload|<script>alert' "$TMP/hostile.dom")" 0 "hostile: no name became an element"
is "$(grep -c 'alert' "$TMP/hostile.console")" 0 "hostile: no script of a name ran"
like "$(tr -d '\n' <"$TMP/hostile.dom")" '<b>Not complete\.</b>' "hostile: what was lost is said first"

# Narrow as a phone: nothing wider than the page
cat >"$TMP/frame.html" <<END2
<iframe id="f" src="leak.html" width="390" height="800"></iframe><pre id="w"></pre>
<script>f.onload = function () { setTimeout(function () {
	w.textContent = "width " + f.contentDocument.documentElement.scrollWidth; }, 500); };</script>
END2
timeout 60 "$browser" --headless=new --no-sandbox --disable-gpu --user-data-dir="$TMP/profile" \
	--allow-file-access-from-files --virtual-time-budget=3000 --dump-dom "file://$TMP/frame.html" \
	>"$TMP/frame.dom" 2>/dev/null
width=$(grep -oE 'width [0-9]+<' "$TMP/frame.dom" | tr -dc 0-9)
ok "$([ "${width:-9999}" -le 390 ]; echo $?)" "on a phone the page does not scroll sideways"
done_testing
