# Helpers of the tests of findings. Sourced after lib.sh.
# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154  # variables are for the tests, or lib.sh's

done_or_gone() { has_line '^done$' "$TMP/$1.out" || ! kill -0 "$target"; }

# run NAME OPTIONS -- COMMAND…: traced (in $MODE) from its gate to "done"; findings in $TMP/NAME.find
run() {
	local name=$1 opts=()
	shift
	while [ "$1" != -- ]; do
		opts+=("$1")
		shift
	done
	shift
	start_gated "$name" "$@"
	start_trace "$name" -p "$target" -m "${MODE:-exact}" --json "${opts[@]}"
	sleep "${SETTLE:-0}" # what is before the gate is looked at first
	open_gate
	wait_for 60 done_or_gone "$name"
	sleep "${DWELL:-0.7}" # a closed state's blocks may be freed a little later
	stop_trace
	[ "$status" -le 1 ] || ok 1 "$name: the tracer ended with status $status"
	jq -c 'select(.type == "finding")' "$TMP/$name.trace" >"$TMP/$name.find"
	(open_gate) 2>/dev/null # in a subshell: a target that is gone gives SIGPIPE
	wait "$target"
	exited=$?
}

kinds() { jq -r .kind "$TMP/$1.find" | sort | uniq -c | awk '{print $2 ":" $1}' | paste -sd' '; }
ev() { jq -r "select(.kind == \"$2\") | $3" "$TMP/$1.find" | sort -u | paste -sd' '; }
