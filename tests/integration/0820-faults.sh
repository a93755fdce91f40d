#!/bin/bash
# What may happen to the tracer and its targets: signals, debuggers, full tables, storms. No target notices.
# alone: kills tracers, floods the system
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

make=$ROOT/tests/lua/make.lua
leak=$ROOT/tests/lua/leak.lua
cp "$(command -v lua5.4)" "$TMP/fault54"

state_of() { awk '{ print $3 }' "/proc/$1/stat" 2>/dev/null; }

start_target() { # name: a program that runs for a while
	"$TMP/fault54" "$leak" 60 >"$TMP/$1.out" 2>&1 &
	target=$!
	pids+=("$target")
	wait_for 10 has_line '^ready$' "$TMP/$1.out"
}

end_target() {
	kill -9 "$target" 2>/dev/null
	wait "$target" 2>/dev/null
}

# The tracer dies at any moment, however it was told what to trace
start_target killed
alive=0
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
	case $((i % 2)) in
	0) how=(-p "$target") ;;
	1) how=(-n fault54) ;;
	esac
	"$TRACER" "${how[@]}" -m exact --json >/dev/null 2>&1 &
	tracer=$!
	sleep "0.$((i * 37 % 100))"
	kill "$([ $((i % 3)) = 0 ] && echo -TERM || echo -KILL)" "$tracer" 2>/dev/null
	wait "$tracer" 2>/dev/null
	[[ $(state_of "$target") == [RS] ]] && alive=$((alive + 1))
done
is "$alive" 12 "the target runs on, whenever the tracer is killed"
none_left_in_kernel
ok $? "and nothing of ours is left in the kernel"

# Stopped and continued tracer
start_trace stopped -p "$target" -m exact --json
kill -STOP "$tracer"
sleep 1
is "$([[ $(state_of "$target") == [RS] ]] && echo runs)" runs "a stopped tracer stops nobody"
kill -CONT "$tracer"
sleep 0.5
kill -TERM "$tracer"
wait "$tracer"
is "$?" 0 "after SIGCONT and SIGTERM: a report, status 0"
is "$(jq -c 'select(.type == "end") | .type' "$TMP/stopped.trace")" '"end"' "the report is whole"

# Stopped target
kill -STOP "$target"
"$TRACER" -p "$target" -m exact -d 1 --json >"$TMP/tstop.trace" 2>/dev/null
is $? 0 "a stopped target can be traced"
is "$(jq -c 'select(.type == "state") | .heap_bytes > 0' "$TMP/tstop.trace")" true "and its state read"
is "$(state_of "$target")" T "it is still stopped afterwards"
kill -CONT "$target"

# Killed target
start_trace tkill -p "$target" -m exact --json
sleep 0.3
kill -9 "$target"
wait "$target" 2>/dev/null
wait "$tracer"
is "$?" 0 "a killed target ends the trace, status 0"
like "$(jq -r 'select(.type == "end") | .reason' "$TMP/tkill.trace")" "SIGKILL|signal 9|killed" "the report says so"

# Under strace
if command -v strace >/dev/null; then
	start_target straced
	strace -f -o "$TMP/strace.log" -p "$target" 2>/dev/null &
	strace=$!
	pids+=("$strace")
	sleep 0.3
	"$TRACER" -p "$target" -m exact -d 1 --json >"$TMP/strace.trace" 2>/dev/null
	is $? 0 "a target under strace: status 0"
	is "$(jq -c 'select(.type == "state" and .state > 0) | .allocs > 0' "$TMP/strace.trace")" true "its calls are seen"
	kill "$strace"
	wait "$strace" 2>/dev/null
	is "$([[ $(state_of "$target") == [RS] ]] && echo runs)" runs "and it runs on"
	end_target
else
	skip "no strace" "a target under strace"
fi

# Full table of blocks
start_gated full "$HOSTS/forker-lua5.4" "$make" 200000
start_trace full -p "$target" -m exact --json --max-blocks 1000
open_gate
wait_for 10 has_line '^child' "$TMP/full.out"
open_gate
wait_for 20 has_line '^done$' "$TMP/full.out"
stop_trace
is "$status" 0 "a full table of blocks: status 0"
is "$(jq -c 'select(.type == "end") | [.complete, .lost.map_full > 0]' "$TMP/full.trace")" '[false,true]' \
	"and the report says that blocks are missing"
open_gate

# A flood of births
start_gated flood "$HOSTS/many_states-lua5.4" 10 100000 2 3
start_trace flood -p "$target" -m exact --json
open_gate
wait_for 30 has_line '^done$' "$TMP/flood.out"
stop_trace
is "$status" 0 "a flood of births: status 0"
born=$(awk '/^runs/ { print $4 }' "$TMP/flood.out")
echo "# $born births; $(jq -c 'select(.type == "end") | .lost' "$TMP/flood.trace")"
told=$(jq -c 'select(.type == "state" and .born != "before-attach" and .state > 0) | .state' "$TMP/flood.trace" | wc -l)
[ "$told" -ge "$born" ] || [ "$(jq -c 'select(.type == "end") | .complete' "$TMP/flood.trace")" = false ]
ok $? "each is reported, or the report says that some are not"
open_gate

# Storms of short-lived interpreters
start_trace storm -n fault54 -m exact --json
for _ in $(seq 1 25); do
	for _ in 1 2 3 4 5 6 7 8; do
		"$TMP/fault54" -e 'local t = {} for i = 1, 1000 do t[i] = {} end' || echo failed >>"$TMP/storm.failed" &
	done
	# shellcheck disable=SC2046
	wait $(jobs -p | grep -vx "$tracer")
done 2>/dev/null
# shellcheck disable=SC2012 # numbers only
fds=$(ls "/proc/$tracer/fd" | wc -l)
start_target after
wait_for 5 has_line "." "$TMP/after.out"
sleep 3
# shellcheck disable=SC2012
later=$(ls "/proc/$tracer/fd" | wc -l)
stop_trace
is "$status" 0 "a storm of 200 interpreters: status 0"
[ ! -e "$TMP/storm.failed" ]
ok $? "each of them ended well"
[ "$later" -lt 90 ]
ok $? "no descriptor is left of them ($fds, then $later)"
is "$(jq -r "select(.type == \"state\" and .pid == $target) | .allocs > 0" "$TMP/storm.trace" | sort -u)" true \
	"one that stays is traced"
end_target

# Programs of which nobody is left are let go, with their probes: their file systems may be wanted back
mkdir -p "$TMP/gone"
export LUAMEMTRACE_FORGET=1
start_trace gone -n gone54 -m exact --json 1
unset LUAMEMTRACE_FORGET
links() { cat "/proc/$tracer/fdinfo/"* 2>/dev/null | grep -c '^link_type'; }
before=$(links)
held() { [ "$(find "/proc/$tracer/fd" -lname "$TMP/gone/*" | wc -l)" -gt 0 ] && [ "$(links)" -gt "$before" ]; }
let_go() { [ "$(find "/proc/$tracer/fd" -lname "$TMP/gone/*" | wc -l)" = 0 ] && [ "$(links)" = "$before" ]; }
works() { jq "select(.type == \"state\" and .pid == $1 and .allocs > 0)" "$TMP/gone.trace" | grep .; }
for i in 1 2 3; do
	cp "$(command -v lua5.4)" "$TMP/gone/gone54"
	"$TMP/gone/gone54" "$leak" 60 >/dev/null &
	pids+=("$!")
	wait_for 20 works $! && held
	ok $? "copy $i of a program is traced"
	kill -9 $!
	wait $! 2>/dev/null
	rm "$TMP/gone/gone54"
done
wait_for 15 let_go
ok $? "files that nobody runs any more are closed, and their probes taken off"
stop_trace
is "$status" 0 "and the report is written: status 0"
is "$(jq -r 'select(.type == "runtime") | .build_id' "$TMP/gone.trace" | sort -u | wc -l)" 1 "with their build id"

# Storms of forks and execs out of a traced command
"$TRACER" -m exact --json -- sh -c "for i in 1 2 3 4 5 6 7 8 9 10; do
	lua5.4 -e 'os.execute(\"true\")' & lua5.4 -e 'local s = 0 for i = 1, 9 do s = s .. i end' & done; wait; echo all >'$TMP/all'" \
	>"$TMP/cmd.trace" 2>"$TMP/cmd.err"
is $? 0 "a command that starts twenty interpreters at once: status 0"
is "$(cat "$TMP/all" 2>/dev/null)" all "all of them end"
is "$(jq -r 'select(.type == "process" and .comm == "lua5.4") | .pid' "$TMP/cmd.trace" | sort -u | wc -l)" 20 \
	"and each is reported"
none_left_in_kernel
ok $? "nothing of ours is left in the kernel"
done_testing
