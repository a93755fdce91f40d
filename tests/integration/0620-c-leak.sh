#!/bin/bash
# Memory that C code takes from malloc() on behalf of Lua and never gives back is told, with the Lua line and
# the C function; what is freed, by whomever, or kept up to a limit is not.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

# Two sorts of programs in one trace each, until their leaks are told: the judgement takes its time.
leaks=("lua5.1 udata" "lua5.4 big" "lua5.3 grow" "luajit ffi" "luajit bare" "static54 grow")
jemalloc=$(ldconfig -p | awk '/libjemalloc\.so\.2/ { print $NF; exit }')
if [ -n "$jemalloc" ]; then
	leaks+=("lua5.4 bare") # by another allocator than the C library's
else
	skip "libjemalloc2 is not installed" "another allocator than the C library's"
fi
goods=("lua5.1 good" "lua5.2 good" "lua5.4 good" "luajit good" "static54 good")
declare -A pid_of
gates=()
list=''
for p in "${leaks[@]}" "${goods[@]}"; do
	read -r rt mode <<<"$p"
	preload=
	[ "$p" != "lua5.4 bare" ] || preload=$jemalloc
	start_gated "$rt-$mode" env LD_PRELOAD="$preload" "$HOSTS/inc_cleak-$rt" "$mode"
	pid_of[$p]=$target
	gates+=("$gate")
	list+=${list:+,}$target
done
start_trace all -p "$list" -m exact --json --kinds c-leak 1
for g in "${gates[@]}"; do echo >&"$g"; done

told() { jq -c "select(.type == \"finding\" and .pid == $1)" "$TMP/all.trace" | tail -n 1; }
all_told() {
	for p in "${leaks[@]}"; do
		[ -n "$(told "${pid_of[$p]}")" ] || return 1
	done
}
wait_for 90 all_told
stop_trace
is "$status" 0 "the tracer ends with status 0"
for p in "${leaks[@]}"; do
	f=$(told "${pid_of[$p]}")
	case $p in
	static54*) want="f/3000" ;; # stripped: as Lua calls it
	*udata) want="udata/1000" ;;
	*bare) want="bare/500" ;;
	*big) want="big/900" ;;
	*grow) want="grow/3000" ;;
	*) want="malloc/700" ;;
	esac
	is "$(jq -r .kind <<<"$f")" c-leak "$p: told"
	like "$(jq -r .evidence.function <<<"$f")" "^(${want%/*})\$" "$p: the C function"
	# A block or two of other sorts may come from the same line.
	is "$(jq -r ".evidence.bytes / .evidence.blocks / ${want#*/} | . > 0.95 and . < 1.05" <<<"$f")" true \
		"$p: the size of each block"
	like "$(jq -r .stack[0].lua <<<"$f")" '^(@cwork.lua:4|\[string .*ffi.*\]:2)$' "$p: the Lua line"
	is "$(jq -c "select(.type == \"state\" and .pid == ${pid_of[$p]}) | .live_bytes > 1000000" "$TMP/all.trace" | tail -n 1)" \
		false "$p: none of it is counted as the state's own"
done
for p in "${goods[@]}"; do
	is "$(told "${pid_of[$p]}")" "" "$p: silent"
	like "$(jq -c "select(.type == \"site\" and .pid == ${pid_of[$p]} and .kind == \"c-heap\") | .live_blocks" "$TMP/all.trace" | sort -n | tail -n 1)" \
		'^[1-9]' "$p: though the C heap was followed"
done
kill "${pid_of[@]}" 2>/dev/null

# Not asked for: nothing of it.
start_gated off "$HOSTS/inc_cleak-lua5.4" bare
start_trace off -p "$target" -m exact --json -d 1
open_gate
wait "$tracer"
is "$(jq -c 'select(.kind == "c-heap")' "$TMP/off.trace")" "" "without --kinds c-leak the C heap is left alone"
kill "$target"
done_testing
