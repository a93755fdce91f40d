#!/bin/bash
# A leak of each kind is called one, at its line; what fills, turns over or comes and goes is not.
# alone: counts requests against the clock
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

REQUESTS=12000 # by then every healthy program has levelled off or turned over

ticker() { perl -e '$| = 1; $SIG{PIPE} = sub { exit }; while (1) { print "\n"; select undef, undef, undef, 0.01 }'; }

start_ticked() { # name command…
	local name=$1
	shift
	rm -f "$TMP/$name.in"
	mkfifo "$TMP/$name.in"
	ticker >"$TMP/$name.in" 2>/dev/null &
	pids+=("$!")
	"$@" <"$TMP/$name.in" >"$TMP/$name.out" 2>"$TMP/$name.err" &
	target=$!
	pids+=("$target")
	wait_for 20 has_line '^ready' "$TMP/$name.out"
}

# run_all NAME RUNTIME SCRIPT ARGS…: one process for each ARGS, all in one trace until they are done.
run_all() {
	local name=$1 rt=$2 script=$3 list='' i=0 args
	shift 3
	targets=()
	for args in "$@"; do
		# shellcheck disable=SC2086  # arguments of the script
		start_ticked "$name-$i" "$rt" "$script" $args
		targets+=("$target")
		list+=${list:+,}$target
		i=$((i + 1))
	done
	start_trace "$name" -p "$list" -m exact --json
	for ((i = 0; i < ${#targets[@]}; i++)); do
		wait_for 120 has_line "^done $REQUESTS" "$TMP/$name-$i.out"
	done
	stop_trace
	is "$status" 0 "$name: tracer ends with status 0"
	kill "${targets[@]}"
}

sites() { # name pid filter
	jq -c "select(.type == \"site\" and .pid == $2) | $3" "$TMP/$1.trace"
}

script=$ROOT/tests/lua/leak_kinds.lua
for rt in lua5.1 lua5.4 luajit; do
	kinds=(table closure coroutine string userdata)
	[ "$rt" = luajit ] && kinds+=(cdata)
	run_all "leak-$rt" "$rt" "$script" "${kinds[@]}"
	for i in "${!kinds[@]}"; do
		kind=${kinds[$i]}
		line=$(grep -n "LEAK $kind" "$script" | cut -d: -f1)
		first=$(sites "leak-$rt" "${targets[$i]}" '[.verdict, .stack[0].lua]' | head -n 1)
		like "$first" "\"(leak|growing)\"" "$rt: a leak of one $kind each is called one"
		# Inside a trace the line of a string or cdata is told from around it.
		if [ "$rt" = luajit ] && [[ $kind == string || $kind == cdata ]]; then
			like "$first" "leak_kinds.lua:" "$rt: …in the right file"
		else
			like "$first" "leak_kinds.lua:$line\"" "$rt: …and its line is first"
		fi
	done
done

script=$ROOT/tests/lua/healthy_kinds.lua
kinds=(cache ring lru warm_up once sawtooth memo buffer workers nothing)
for rt in lua5.1 lua5.4 luajit; do
	run_all "healthy-$rt" "$rt" "$script" "${kinds[@]/%/ 0.5}"
	for i in "${!kinds[@]}"; do
		is "$(sites "healthy-$rt" "${targets[$i]}" 'select(.verdict == "leak") | [.kind, .stack[0].lua]')" "" \
			"$rt: no leak in ${kinds[$i]}"
	done
done
done_testing
