#!/bin/bash
# Targets that do not bear everything: C stacks that are switched, seccomp filters, debuggers.
# alone: times what it does to targets
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

run_gated() { # how name command…: traced from "ready" to "done"; the target's status in $ended
	local how=$1 name=$2
	shift 2
	start_gated "$name" "$@"
	LUAMEMTRACE_ATTACH=$how start_trace "$name" -p "$target" -m exact --json
	open_gate
	wait_for 20 has_line '^done$' "$TMP/$name.out"
	stop_trace
	open_gate
	wait "$target"
	ended=$?
}

books() { # name: allocs and frees of all states
	jq -sc '[.[] | select(.type == "state" and .state > 0)] | [(map(.allocs) | add), (map(.frees) | add)]' \
		"$TMP/$1.trace"
}

# A coroutine library switches stacks while no allocator runs
for how in session multi; do
	run_gated "$how" "out-$how" "$HOSTS/fibers-lua5.4" out
	is "$ended" 0 "$how: stacks switched between allocations: the target lives"
	is "$(books "out-$how")" "$(awk '/^allocs/ { print "[" $2 "," $4 "]" }' "$TMP/out-$how.out")" \
		"$how: and every call is counted"
done

# …in the middle of an allocation: a return probe would kill it
run_gated session in "$HOSTS/fibers-lua5.1" in
is "$ended" 0 "stacks switched by the allocator: the target lives"
like "$(jq -r 'select(.type == "end") | .blind_spots // [] | .[]' "$TMP/in.trace")" "another C stack" \
	"and the report says what is not seen"

# Behind a filter that kills for any other system call: return probes must need none that it counts
for how in session perf; do
	run_gated "$how" "box-$how" "$HOSTS/sandbox-lua5.4"
	is "$ended" 0 "$how: a target behind a seccomp filter lives"
	is "$(jq -c 'select(.type == "state" and .state > 0) | .allocs >= 20000' "$TMP/box-$how.trace")" true \
		"$how: and its calls are seen"
done

# A debugger stops the target while we attach and detach, and sets a breakpoint beside our probes
if command -v gdb >/dev/null; then
	start_gated gdb lua5.4 -e "io.write('ready\n') io.flush() io.read()
		for i = 1, 3000 do local t = {} t[i % 7] = {i} end io.write('done\n') io.flush() io.read()"
	cat >"$TMP/gdb.cmd" <<-EOF
		attach $target
		shell "$TRACER" -p $target -m exact -d 0.5 --json >"$TMP/held.trace" 2>/dev/null; echo \$? >"$TMP/held.rc"
		shell "$TRACER" -p $target -m exact --json >"$TMP/gdb.trace" 2>"$TMP/gdb.trace.err" & echo \$! >"$TMP/gdb.tracer"
		shell for i in \$(seq 100); do grep -q '^luamemtrace: tracing' "$TMP/gdb.trace.err" && break; sleep 0.2; done
		break malloc
		shell echo >"/proc/$target/fd/0"
		continue
		continue
		delete
		detach
	EOF
	timeout 60 gdb -nx -q -batch -x "$TMP/gdb.cmd" >"$TMP/gdb.log" 2>&1
	pids+=("$(cat "$TMP/gdb.tracer")")
	is "$(cat "$TMP/held.rc")" 0 "a target that a debugger holds can be traced"
	wait_for 20 has_line '^done$' "$TMP/gdb.out"
	ok $? "and goes on when the debugger lets it go, breakpoints and probes beside each other"
	kill -INT "$(cat "$TMP/gdb.tracer")"
	wait_for 20 has_line '"end"' "$TMP/gdb.trace"
	is "$(jq -c 'select(.type == "state" and .state > 0) | .allocs > 3000' "$TMP/gdb.trace")" true "its calls are seen"
	open_gate
	wait "$target"
	is $? 0 "and it ends well"
else
	skip "no gdb" "a target under gdb"
fi
# A frame whose saved pc lies in the midst of the first instruction
for bytes in 1 2 3; do
	"$HOSTS/oddpc" $bytes >"$TMP/oddpc.out" &
	target=$!
	pids+=("$target")
	wait_for 10 has_line ready "$TMP/oddpc.out"
	"$TRACER" -p "$target" -m exact -d 2 >/dev/null 2>&1
	is "$?" 0 "a pc $bytes bytes behind the code's begin does not end the trace"
	kill "$target"
done

done_testing
