#!/bin/bash
# One cause is one finding, named by the container whatever its keys are, with what to do about such a thing.
# alone: rates are judged
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

# sessions are kept by name; two lines fill them
cat >"$TMP/named.lua" <<'E2'
local sessions = {}
function step(i)
	local s = { user = i }
	s.items = { i, i + 1 }
	sessions["user" .. i] = s
end
E2
# closures in a list that nobody shortens
cat >"$TMP/handlers.lua" <<'E2'
local handlers = {}
function step(i)
	local n = 0
	handlers[#handlers + 1] = function() n = n + i return n end
end
E2
# a value that leads back to its weak key: 5.1 and LuaJIT keep both for ever, later ones do not
cat >"$TMP/weak.lua" <<'E2'
local state_of = setmetatable({}, { __mode = "k" })
function step(i)
	local conn = { id = i }
	state_of[conn] = { owner = conn }
end
E2
cat >"$TMP/run.lua" <<'E2'
dofile(arg[1])
collectgarbage("setpause", 110)
io.write("ready\n") io.flush()
for _ in io.lines() do
	for i = 1, 10 do n = (n or 0) + 1 step(n) end
	for i = 1, 200 do scratch = { i, "x" .. i } end
end
E2

names=() targets=()
for rt in lua5.1 lua5.4 luajit; do
	for what in named handlers weak; do
		name=$rt-$what
		mkfifo "$TMP/$name.in"
		perl -e '$| = 1; $SIG{PIPE} = sub { exit }; while (1) { print "\n"; select undef, undef, undef, 0.05 }' >"$TMP/$name.in" 2>/dev/null &
		pids+=("$!")
		"$rt" "$TMP/run.lua" "$TMP/$what.lua" <"$TMP/$name.in" >"$TMP/$name.out" 2>"$TMP/$name.err" &
		pids+=("$!")
		names+=("$name")
		targets+=("$!")
		wait_for 20 has_line '^ready' "$TMP/$name.out"
	done
done
"$TRACER" -p "$(IFS=,; echo "${targets[*]}")" -m exact -d 40 --json >"$TMP/t.json" 2>"$TMP/t.err"
is "$?" 0 "the trace ends by itself"
ev() { # pid: each leak, the last that was said of it
	jq -s -r "[.[] | select(.type == \"finding\" and .kind == \"leak\" and .pid == $1)] | group_by(.evidence.path) |
		map(last | [.severity, ([.evidence.lines[]?.line | tostring | sub(\".*[:]\"; \"\")] | unique | join(\"+\")),
			((.evidence.entries // 0) > 100), (.evidence.path | join(\">\")), .evidence.reasons // \"-\", .advice // \"-\"] |
			map(tostring) | join(\" \")) | .[]" "$TMP/t.json"
}
for i in "${!names[@]}"; do
	of=$(ev "${targets[$i]}") name=${names[$i]}
	case $name in
	*-named)
		is "$(grep -c . <<<"$of")" 1 "$name: lines that fill one table are one finding"
		like "$of" "^warning 3\+4(\+5)? true .*sessions.*user[0-9]+" "$name: …named by the table, whatever its keys"
		;;
	*-handlers) like "$of" "^error .*handlers.*functions in a list" "$name: closures in a list that only grows" ;;
	lua5.4-weak) is "$of" "" "$name: with ephemerons nothing leaks" ;;
	*-weak) like "$of" "^error .*state_of.*weak keys, which its values lead back to.* values that lead back" "$name: weak keys that are not" ;;
	esac
	kill "${targets[$i]}"
done
done_testing
