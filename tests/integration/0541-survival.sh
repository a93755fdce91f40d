#!/bin/bash
# One in K that stays behind sessions that live for some seconds is a leak and an error; where all
# are closed nothing is said; a cache that fills is warned of, and no error. At every call and in windows.
# alone: births against the clock
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

SECONDS_TRACED=70 # a minute, and twice the life of a session, and a little
LIFE=400          # lines of input, 100 a second

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

told() { # pid: severity and confidence of each leak that was told of its lines
	jq -r "select(.type == \"finding\" and .kind == \"leak\" and .pid == $1) |
		[.severity, .confidence, .stack[0].lua, .evidence.reasons // \"\"] | join(\" \")" "$TMP/survival.trace"
}

script=$ROOT/tests/lua/one_in_k.lua
line=$(grep -n -- '-- SESSION' "$script" | cut -d: -f1)
page=$(grep -n -- '-- PAGE' "$script" | cut -d: -f1)
kinds=("2 $LIFE" "10 $LIFE" "30 $LIFE" "0 $LIFE" "cache 100000")
names=() targets=()
for rt in lua5.1 lua5.4 luajit; do
	for args in "${kinds[@]}"; do
		# shellcheck disable=SC2086  # arguments of the script
		start_ticked "$rt-${args%% *}" "$rt" "$script" $args
		names+=("$rt-${args%% *}")
		targets+=("$target")
	done
done
start_trace survival -p "$(IFS=,; echo "${targets[*]}")" -m exact --json -d "$SECONDS_TRACED"
wait "$tracer"
is $? 0 "the trace ends by itself"
for i in "${!names[@]}"; do
	name=${names[$i]} of=$(told "${targets[$i]}")
	case $name in
	*-0) is "$of" "" "$name: all sessions are closed: nothing is told" ;;
	*-cache)
		like "$of" "^warning possible .*one_in_k.lua:$page " "$name: a cache that fills is warned of"
		is "$(grep -c '^error' <<<"$of")" 0 "$name: …and is no error"
		;;
	*) like "$of" "^error likely .*one_in_k.lua:$line others of this line" "$name: one in so many is a leak" ;;
	esac
	kill "${targets[$i]}"
done

# The same from windows: samples, and heap walks that tell which of them live.
names=() targets=()
for args in "3 $LIFE" "0 $LIFE" "cache 100000"; do
	# shellcheck disable=SC2086  # arguments of the script
	start_ticked "watch-${args%% *}" lua5.4 "$script" $args
	names+=("watch-${args%% *}")
	targets+=("$target")
done
start_trace survival -p "$(IFS=,; echo "${targets[*]}")" -m watch --max-overhead 20 --json -d 100
wait "$tracer"
of=$(told "${targets[0]}")
like "$of" "^error likely .*one_in_k.lua:$line others of this line" "${names[0]}: one in so many is a leak"
is "$(told "${targets[1]}")" "" "${names[1]}: all sessions are closed: nothing is told"
is "$(told "${targets[2]}" | grep -c '^error')" 0 "${names[2]}: a cache that fills is no error"
kill "${targets[@]}"
done_testing
