#!/bin/bash
# Wrong input gives one clear line and the documented exit status; nothing stays attached.
# alone: looks for probes that others may have left
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"

run() { # args…: sets $status and $said
	said=$("$TRACER" "$@" 2>&1 >/dev/null)
	status=$?
}

refused() { # status regex description args…
	local want=$1 regex=$2 text=$3
	shift 3
	run "$@"
	is "$status" "$want" "$text: exit status $want"
	like "$said" "$regex" "$text: says why"
	is "$(printf '%s\n' "$said" | wc -l)" 1 "$text: in one line"
}

refused 2 'which process' "no process given"
refused 2 "unknown option '-x'" "unknown short option" -x
refused 2 "unknown option '--frobnicate'" "unknown long option" --frobnicate
refused 2 "given twice" "one process given by two options" -p 1 -p 1
refused 2 "for all processes of that name: -n nginx" "-p with a name" -p nginx
refused 2 "did you mean '--mode'" "an option with a slip in it" --mdoe exact -p 1
refused 2 "did you mean 'list'" "a command with a slip in it" lsit
refused 2 "for several write -p 1,$$" "a second process in place of the interval" -p 1 $$
refused 2 "such as 10, 500ms" "a time of an unknown unit" -p 1 -d 5d
refused 2 "given twice" "one process given twice" -p 1,1
refused 2 "not a process id" "-p with a word" -p nonsense
refused 2 "not a process id" "-p with an empty item" -p 1,
refused 2 "needs a value" "-p without a value" -p
refused 2 "not one of" "unknown mode" -p 1 -m sometimes
refused 2 "not a number" "a word for a number" -p 1 --max-blocks lots
refused 2 "neither a command nor an interval" "a word for the interval" -p 1 often
refused 2 "unexpected word" "one word too many" -p 1 1 2 3
refused 2 "no block can pass" "sizes that exclude each other" -p 1 -z 10 -Z 5
refused 2 "cannot open" "a layout file that is not there" -p 1 --layout /nonexistent
refused 66 "no process 4194304" "no such process" -p 4194304

sleep 60 &
sleeper=$!
pids+=("$sleeper")
if [ "$(id -u)" = 0 ]; then
	refused 66 "runs no Lua" "a process without Lua" -p "$sleeper"
	"$HOSTS/sleep32" &
	pids+=("$!")
	refused 66 "32-bit" "a 32-bit process" -p "$!"
	start_gated idle lua5.4 -e 'print("ready") io.stdout:flush() io.read()'
	lua=$target
	said=$(setpriv --reuid 65534 --regid 65534 --clear-groups "$TRACER" -p "$lua" 2>&1 >/dev/null)
	is $? 77 "no privilege: exit status 77"
	like "$said" 'root|CAP_' "no privilege: says what is needed"
	said=$(setpriv --reuid 65534 --regid 65534 --clear-groups "$TRACER" doctor 2>&1)
	like "$said" 'fail.*BPF' "doctor without privilege tells what fails"

	# A target that ends while it is being attached, at different moments.
	for delay in 0.00 0.02 0.05 0.1 0.15 0.2 0.3; do
		lua5.4 -e 'while true do local t = {} end' &
		victim=$!
		sleep 0.05
		(sleep "$delay"; kill "$victim") &
		timeout 20 "$TRACER" -p "$victim" -m exact -q >/dev/null 2>"$TMP/victim"
		code=$?
		wait "$victim" 2>/dev/null
		case $code in
		0 | 66) ok 0 "target killed after $delay s: exit status $code" ;;
		*) ok 1 "target killed after $delay s: exit status $code: $(cat "$TMP/victim")" ;;
		esac
	done

	# The ledger full: told, and the trace goes on.
	"$TRACER" -p "$lua" -m exact -d 0.1 -q >/dev/null
	start_gated full "$HOSTS/ledger-lua5.4" "$ROOT/tests/lua/mix.lua"
	start_trace full -p "$target" -m exact --json --max-blocks 500
	open_gate
	wait_for 60 has_line '^done$' "$TMP/full.out"
	stop_trace
	is "$status" 0 "--max-blocks reached: exit status 0"
	like "$(jq -c 'select(.type == "end") | .lost.map_full' "$TMP/full.trace")" '^[1-9]' \
		"--max-blocks reached: counted"
	is "$(jq -c 'select(.type == "end") | .complete' "$TMP/full.trace")" false \
		"--max-blocks reached: not complete"
	is "$(jq -c 'select(.type == "state" and .state == 1) | .allocs' "$TMP/full.trace")" \
		"$(grep '^{' "$TMP/full.out" | jq '.states[0].allocs')" \
		"--max-blocks reached: calls are counted all the same"
	open_gate
	none_left_in_kernel
	ok $? "nothing is left attached"
else
	skip "needs root" "processes to look into"
fi
# Words that many try first, and what --help says where it cannot
is "$("$TRACER" version)" "$("$TRACER" --version)" "version is a command"
is "$("$TRACER" help census)" "$("$TRACER" census --help)" "help COMMAND is its --help"
is "$(COLUMNS=80 "$TRACER" --help | awk 'length($0) > 86' | wc -l)" 0 "help fits a terminal"
"$TRACER" --help >/dev/full 2>/dev/null
is $? 74 "help that cannot be written: 74"
"$TRACER" -q -- sh -c 'exit 7' >/dev/null 2>&1
is $? 7 "a command ends with its own status"
"$TRACER" -q -- sh -c 'kill -9 $$' >/dev/null 2>&1
is $? 137 "and with 128 and the signal that ended it"
done_testing
