#!/bin/bash
# top: the screen is taken, fits the terminal, shows the line, and is given back with a report.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

lua5.4 "$ROOT/tests/lua/leak.lua" 600 >"$TMP/leak.out" &
target=$!
pids+=("$target")
wait_for 10 has_line '^ready$' "$TMP/leak.out"

"$TRACER" top -p "$target" </dev/null >"$TMP/out" 2>"$TMP/err"
is $? 2 "without a terminal: status 2"
like "$(cat "$TMP/err")" "terminal" "and says so"
"$TRACER" top --json -p "$target" >"$TMP/out" 2>"$TMP/err"
is $? 2 "not together with what goes to stdout too"

# A key ends it: script(1) hands its input on.
mkfifo "$TMP/keys"
script -qefc "stty rows 16 cols 70; '$TRACER' top -p $target -m exact 0.5" "$TMP/screen" <"$TMP/keys" >/dev/null 2>&1 &
typist=$!
pids+=("$typist")
exec {keys}>"$TMP/keys"
wait_for 30 grep -q "growing\|leak  " "$TMP/screen"
ok $? "the leaking line gets its verdict on the screen"
sleep 1
printf q >&"$keys"
wait_for 20 grep -q 'nothing was lost' "$TMP/screen"
ok $? "q ends it with a report"
exec {keys}>&-
wait "$typist"
is $? 0 "status 0"

# What is drawn between two jumps home are the rows of one screen.
perl -0777 -ne '
	($all) = /\e\[\?1049h(.*)\e\[\?1049l/s or die "never taken or never given back\n";
	for (split /\e\[H/, $all) {
		s/\e\[[?0-9;]*[A-Za-z]//g; s/\r//g;
		@rows = split /\n/, $_, -1;
		$most = @rows if @rows > $most;
		for (@rows) { $widest = length if length > $widest }
	}
	print "$most $widest\n"' "$TMP/screen" >"$TMP/size" 2>"$TMP/size.err"
is "$(awk '{ print ($1 >= 8 && $1 <= 16), ($2 >= 60 && $2 <= 70) }' "$TMP/size")" "1 1" \
	"each screen fits its rows and columns"
like "$(cat "$TMP/screen")" "leak.lua:" "and shows places"
done_testing
