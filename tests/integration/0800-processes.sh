#!/bin/bash
# Processes come and go: forks, execs, late libraries, commands from their first instruction, by name.
# alone: traces the whole system
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

make=$ROOT/tests/lua/make.lua
places=$ROOT/tests/lua/places.lua
leak=$ROOT/tests/lua/leak.lua

tables_of() { # trace pid line-of-file: live tables of a process at a line
	jq -r "select(.type == \"site\" and .pid == $2 and .kind == \"table\" and .stack[0].lua == \"@$3\")
		| .live_blocks" "$TMP/$1.trace" | awk '{ s += $1 } END { print s + 0 }'
}

# Fork: the child is a process of its own, with the states it inherited
for rt in lua5.4 luajit; do
	start_gated "fork-$rt" "$HOSTS/forker-$rt" "$make" 5000
	parent=$target
	start_trace "fork-$rt" -p "$parent" -m exact --json
	open_gate
	wait_for 10 has_line '^child' "$TMP/fork-$rt.out"
	child=$(awk '/^child/ { print $2 }' "$TMP/fork-$rt.out")
	sleep 1.5
	open_gate
	wait_for 20 has_line '^done$' "$TMP/fork-$rt.out"
	stop_trace
	is "$(jq -r 'select(.type == "process") | .pid' "$TMP/fork-$rt.trace" | sort -n | xargs)" \
		"$(printf '%s\n' "$parent" "$child" | sort -n | xargs)" "$rt: parent and child are told apart"
	for p in "$parent" "$child"; do
		[ "$(tables_of "fork-$rt" "$p" "$make:4")" -ge 5000 ]
		ok $? "$rt: the tables of process $p are charged to it"
	done
	is "$(nothing_lost "$TMP/fork-$rt.trace")" true "$rt: nothing lost"
	open_gate
done

# Exec: the same process, another program
start_gated exec sh -c "echo ready; read x; exec lua5.4 '$leak' 6"
"$TRACER" -p "$target" -m exact -d 1 2>/dev/null >/dev/null
is $? 66 "a shell runs no Lua yet"
start_gated exec2 lua5.3 -e "io.write('ready\n') io.flush() io.read() os.execute('true')
	local f = io.open('$TMP/exec2.done', 'w') f:close() io.read()"
start_trace exec2 -p "$target" -m exact --json
open_gate
wait_for 10 test -e "$TMP/exec2.done"
sleep 0.3
stop_trace
is "$(jq -r 'select(.type == "process") | .pid' "$TMP/exec2.trace")" "$target" \
	"a child that runs another program at once is not reported"
open_gate

# A library that is loaded later
start_gated late "$HOSTS/dlopen" -l "$places" "$(ldconfig -p | awk '/liblua5.4.so.0 / { print $NF; exit }')" \
	"$(ldconfig -p | awk '/libluajit-5.1.so.2 / { print $NF; exit }')"
start_trace late -p "$target" -m exact --json
open_gate
wait_for 10 has_line '^loaded' "$TMP/late.out"
sleep 1
open_gate
wait_for 30 has_line '^end$' "$TMP/late.out"
stop_trace
is "$(jq -c 'select(.type == "runtime") | .family' "$TMP/late.trace" | sort | xargs)" "luajit puc" \
	"a copy of Lua loaded while we trace is found"
is "$(jq -c 'select(.type == "state" and .allocs > 5000) | .state' "$TMP/late.trace" | wc -l)" 2 \
	"and its state traced"
open_gate

# Commands: nothing predates the attach
for rt in lua5.1 lua5.2 lua5.3 lua5.4 luajit; do
	"$TRACER" -m exact --json -- "$rt" "$places" >"$TMP/cmd-$rt.trace" 2>"$TMP/cmd-$rt.err"
	is $? 0 "-- $rt: status 0"
	like "$(cat "$TMP/cmd-$rt.err")" "done" "-- $rt: the command's output goes to stderr"
	is "$(jq -c 'select(.type == "state") | [.state, (.born != "before-attach"), (.live_blocks == 0)]' \
		"$TMP/cmd-$rt.trace")" '[1,true,true]' "-- $rt: one state, seen from birth to end"
	is "$(jq -c 'select(.type == "end") | [(.complete or .lost.read_fault > 0), .coverage.predates_attach_bytes]' "$TMP/cmd-$rt.trace")" \
		'[true,0]' "-- $rt: nothing predates us, nothing lost"
done
"$TRACER" -m exact --json -- sh -c "lua5.4 '$places'; true" >"$TMP/sh.trace" 2>/dev/null
is "$(jq -c 'select(.type == "process") | .comm' "$TMP/sh.trace")" '"lua5.4"' "a child of the command is traced"
is "$(jq -c 'select(.type == "end") | [(.complete or .lost.read_fault > 0), .coverage.predates_attach_bytes]' "$TMP/sh.trace")" '[true,0]' \
	"from its first instruction too"
"$TRACER" -m exact -- /no/such/program >/dev/null 2>"$TMP/no.err"
is $? 66 "no such command: status 66"
like "$(cat "$TMP/no.err")" "no such program" "and says so"
"$TRACER" -m exact --json -- "$HOSTS/ledger-lua5.4" -s 2 -b 3 "$ROOT/tests/lua/mix.lua" \
	>"$TMP/own.trace" 2>"$TMP/own.err" < <(echo; echo)
is "$(jq -c 'select(.type == "end") | [(.complete or .lost.read_fault > 0), .coverage.predates_attach_bytes]' "$TMP/own.trace")" '[true,0]' \
	"a command with its own allocator: nothing predates us"

# SIGKILL of the tracer never leaves a command of ours stopped, nor any of its children, which are
# stopped as they start too; the guard lets them go on, and ends
family_of() { # the command and its children
	local p
	for p in $(pgrep -P "$tracer"); do
		echo "$p" "$(pgrep -P "$p")"
	done
}
has_family() { [ "$(pgrep -c -P "$tracer")" -ge 2 ]; } # the guard and the command
no_guard() { ! readlink "${family[@]/%//exe}" | grep -q luamemtrace; }

cp "$(command -v lua5.4)" "$TMP/heldlua"
for i in 1 2 3 4 5 6; do
	if [ $((i % 2)) = 0 ]; then
		start_trace "kill$i" -m exact -- "$TMP/heldlua" "$leak" 20
	else
		start_trace "kill$i" -m exact -- sh -c "while :; do '$TMP/heldlua' -e 'local t = {}'; done"
	fi
	wait_for 10 has_family
	sleep "0.$((i * 7 % 10))"
	read -ra all -d '' < <(family_of)
	family=("${all[@]/#//proc/}")
	kill -9 "$tracer"
	wait "$tracer" 2>/dev/null
	wait_for 10 no_guard
	read -ra all -d '' < <(for p in "${all[@]}"; do
		echo "$p" "$(pgrep -P "$p")"
	done)
	for p in "${all[@]}"; do
		awk -v i="$i" '{ print i, $2, $3 }' "/proc/$p/stat" 2>/dev/null
		kill -9 "$p" 2>/dev/null
	done
done >"$TMP/left"
is "$(grep -c ' T$' "$TMP/left")" 0 "nobody is left stopped after SIGKILL of the tracer"
is "$(cut -d' ' -f1 "$TMP/left" | sort -u | wc -l)" 6 "and they were there to be looked at"

# By name, also those that start later: private copies, so that nobody else's are traced
cp "$(command -v lua5.4)" "$TMP/named54"
cp "$(command -v luajit)" "$TMP/namedlj"
"$TMP/named54" "$leak" 30 >"$TMP/n1.out" &
one=$!
pids+=("$one")
wait_for 10 has_line '^ready$' "$TMP/n1.out"
start_trace name -n named54 -m exact --json 1
traced() { # pid trace: has its state been seen at work?
	jq --argjson pid "$1" 'select(.type == "state" and .pid == $pid and .allocs > 1000)' "$TMP/$2.trace" | grep .
}
"$TMP/named54" "$leak" 30 >"$TMP/n2.out" &
two=$!
"$TMP/namedlj" "$leak" 30 >"$TMP/n3.out" &
three=$!
pids+=("$two" "$three")
wait_for 20 traced "$one" name
wait_for 20 traced "$two" name
kill "$one"
wait "$one" 2>/dev/null
"$TMP/named54" "$leak" 30 >"$TMP/n4.out" &
four=$!
pids+=("$four")
wait_for 20 traced "$four" name
stop_trace
is "$status" 0 "-n: status 0"
is "$(jq -r 'select(.type == "process") | .pid' "$TMP/name.trace" | sort -nu | xargs)" \
	"$(printf '%s\n' "$one" "$two" "$four" | sort -n | xargs)" "-n: each process once, no other"
is "$(jq -r "select(.type == \"state\" and .allocs > 1000) | .pid" "$TMP/name.trace" | sort -nu | xargs)" \
	"$(printf '%s\n' "$one" "$two" "$four" | sort -n | xargs)" "-n: the state of each is traced"
is "$(nothing_lost "$TMP/name.trace")" true "-n: nothing lost"

# Short lives: what was not looked at is counted
cp "$(command -v lua5.4)" "$TMP/short54"
"$TMP/short54" "$leak" 30 >"$TMP/n5.out" &
stays=$!
pids+=("$stays")
wait_for 10 has_line '^ready$' "$TMP/n5.out"
start_trace short -n short54 -m exact --json 1
for _ in $(seq 1 30); do
	"$TMP/short54" -e 'local t = {}'
done
"$TMP/short54" "$leak" 30 >"$TMP/n6.out" &
last=$!
pids+=("$last")
wait_for 10 has_line '^ready$' "$TMP/n6.out"
wait_for 20 traced "$last" short
stop_trace
seen=$(jq -r 'select(.type == "process") | .pid' "$TMP/short.trace" | sort -u | wc -l)
unseen=$(jq -r 'select(.type == "end") | .lost.ended_unseen' "$TMP/short.trace" | tail -n 1)
echo "# of 32 processes $seen were traced, $unseen ended before"
is "$((seen + unseen))" 32 "short lives: each is traced, or counted as not seen"
if [ "$unseen" -gt 0 ]; then
	like "$(jq -r 'select(.type == "end") | .blind_spots // [] | .[]' "$TMP/short.trace")" "ended before.* $unseen of 'short54'" \
		"short lives: and named"
else
	skip "all were traced" "short lives: and named"
fi
done_testing
