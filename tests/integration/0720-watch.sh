#!/bin/bash
# Watch sees a few percent of the calls only; still a leak of each kind is found among healthy churn,
# with its line and who holds it, and healthy programs beside it are not called leaks; also where the
# collector is stopped.
# alone: windows depend on what else runs
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

leaky=$ROOT/tests/lua/leak_kinds.lua
healthy=$ROOT/tests/lua/healthy_kinds.lua

ticker() { # seconds between ticks
	perl -e '$| = 1; $SIG{PIPE} = sub { exit }; while (1) { print "\n"; select undef, undef, undef, $ARGV[0] }' "$1"
}

start_ticked() { # name tick command…
	local name=$1 tick=$2
	shift 2
	rm -f "$TMP/$name.in"
	mkfifo "$TMP/$name.in"
	ticker "$tick" >"$TMP/$name.in" 2>/dev/null &
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

# A heap that is never collected is not to be too big for a census, however long this takes.
tick_of() { if [ -n "$1" ]; then echo 0.025; else echo 0.005; fi; }

# Programs are RUNTIME:KIND, with how it is to be asked for its collector behind another colon.
run() { # name "programs that leak" "programs that do not"
	local name=$1 i=0 list line spec rt kind gc
	leaks=()
	twins=()
	for spec in $2; do
		IFS=: read -r rt kind gc <<<"$spec"
		start_ticked "leak-$((i++))" "$(tick_of "$gc")" "$rt" "$leaky" "$kind" steady ${gc:+"$gc"}
		leaks+=("$target")
	done
	for spec in $3; do
		IFS=: read -r rt kind gc <<<"$spec"
		start_ticked "twin-$((i++))" "$(tick_of "$gc")" "$rt" "$healthy" "$kind" 0.3 ${gc:+"$gc"}
		twins+=("$target")
	done
	list=$(IFS=,; echo "${leaks[*]},${twins[*]}")
	start_trace watch -p "$list" -m watch --max-overhead 20 1 --json
	wait_for 150 all_told
	stop_trace
	is "$status" 0 "$name: watch ends with status 0"
	i=0
	for spec in $2; do
		IFS=: read -r rt kind gc <<<"$spec"
		line=:$(grep -n "LEAK $kind\$" "$leaky" | cut -d: -f1)
		# Inside a trace the line of a string or cdata is told from around it.
		[[ $rt == luajit && $kind =~ string|cdata ]] && line=":[0-9]+"
		like "$(leak_of "${leaks[$i]}")" "\[\"@$leaky$line\",\"main thread\"\]" \
			"$spec: a leak of one each: its line, and the thread whose local variable holds it"
		[ -z "$gc" ] || stopped_is_said "$spec" "${leaks[$i]}"
		i=$((i + 1))
	done
	i=0
	for spec in $3; do
		is "$(jq -c "select(.type == \"finding\" and .pid == ${twins[$i]}) | [.kind, .stack[0].lua]" \
			"$TMP/watch.trace")" "" "$spec: nothing is said of it"
		[[ $spec != *:*:* ]] || stopped_is_said "$spec" "${twins[$i]}"
		i=$((i + 1))
	done
	is "$(jq -c 'select(.type == "end") | [.complete, .coverage.alloc_pct < 90]' "$TMP/watch.trace" | tail -n 1)" \
		"[false,true]" "$name: and most calls were not seen"
	kill "${leaks[@]}" "${twins[@]}"
}

stopped_is_said() { # program pid
	is "$(jq -c "select(.type == \"state\" and .pid == $2) | [.collector, .growth_bytes_per_s > 1000]" \
		"$TMP/watch.trace" | tail -n 1)" '["stopped",true]' "$1: the collector is stopped, and the heap grows"
}

run lua5.4 "lua5.4:table lua5.4:closure lua5.4:coroutine lua5.4:userdata" "lua5.4:ring lua5.4:memo lua5.4:sawtooth"
run luajit "luajit:table luajit:coroutine luajit:string luajit:cdata" "luajit:cache luajit:lru luajit:buffer"
others="lua5.1:closure lua5.2:table lua5.3:string luajit:table:stop"
healthy_others="lua5.1:ring lua5.2:buffer lua5.3:memo lua5.4:ring:stop"
if command -v lua5.5 >/dev/null; then
	others+=" lua5.5:coroutine"
	healthy_others+=" lua5.5:cache"
else
	skip "no lua5.5 here" "lua5.5: a leak and a healthy program"
fi
run "the others" "$others" "$healthy_others"
done_testing
