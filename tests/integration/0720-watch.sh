#!/bin/bash
# Watch sees a few percent of the calls only; still a leak of each kind is found among healthy churn,
# with its line and who holds it, and healthy programs beside it are not called leaks.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

leaky=$ROOT/tests/lua/leak_kinds.lua
healthy=$ROOT/tests/lua/healthy_kinds.lua

ticker() { perl -e '$| = 1; $SIG{PIPE} = sub { exit }; while (1) { print "\n"; select undef, undef, undef, 0.005 }'; }

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

# The leak that is told of the process: line and how the path of its holder begins.
leak_of() { # pid
	jq -c "select(.type == \"finding\" and .kind == \"leak\" and .pid == $1 and .evidence.path != null) |
		[.stack[0].lua, .evidence.path[0]]" "$TMP/watch.trace" 2>/dev/null | head -n 1
}

all_told() {
	local p
	for p in "${leaks[@]}"; do
		[ -n "$(leak_of "$p")" ] || return 1
	done
}

run() { # runtime "kinds that leak" "kinds that do not"
	local rt=$1 kind i list line
	leaks=()
	twins=()
	for kind in $2; do
		start_ticked "leak-$kind" "$rt" "$leaky" "$kind"
		leaks+=("$target")
	done
	for kind in $3; do
		start_ticked "twin-$kind" "$rt" "$healthy" "$kind" 0.3
		twins+=("$target")
	done
	list=$(IFS=,; echo "${leaks[*]},${twins[*]}")
	start_trace watch -p "$list" -m watch --max-overhead 20 1 --json
	wait_for 150 all_told
	stop_trace
	is "$status" 0 "$rt: watch ends with status 0"
	i=0
	for kind in $2; do
		line=:$(grep -n "LEAK $kind\$" "$leaky" | cut -d: -f1)
		# Inside a trace the line of a string or cdata is told from around it.
		[[ $rt == luajit && $kind =~ string|cdata ]] && line=":[0-9]+"
		like "$(leak_of "${leaks[$i]}")" "\[\"@$leaky$line\",\"main thread\"\]" \
			"$rt: a leak of one $kind each: its line, and the thread whose local variable holds it"
		i=$((i + 1))
	done
	i=0
	for kind in $3; do
		is "$(jq -c "select(.type == \"finding\" and .pid == ${twins[$i]}) | [.kind, .stack[0].lua]" \
			"$TMP/watch.trace")" "" "$rt: nothing is said of $kind"
		i=$((i + 1))
	done
	is "$(jq -c 'select(.type == "end") | [.complete, .coverage.alloc_pct < 90]' "$TMP/watch.trace" | tail -n 1)" \
		"[false,true]" "$rt: and most calls were not seen"
	kill "${leaks[@]}" "${twins[@]}"
}

run lua5.4 "table closure coroutine userdata" "ring memo sawtooth"
run luajit "table coroutine string cdata" "cache lru buffer"
done_testing
