#!/bin/bash
# What grows with what: cost by number of states and threads, by live blocks, by processes; kernel
# memory a block; time to the first event; the tracer's own processor time.
# usage: scale.sh [REPETITIONS [SECONDS]]
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
reps=${1:-3} secs=${2:-3}

host() { # runtime: made when it is not there
	make -s -C "$ROOT" B="$BUILD" "$BUILD/hosts/rounds-$1" >&2
}
rounds() { wc -l <"$TMP/rounds"; }
more_rounds() { [ "$(rounds)" -ge "$1" ]; }

phase() { # column
	local from to
	trace "$1" "$target" || { tracer=; return 0; }
	from=$(rounds)
	sleep "$secs"
	wait_until 20 more_rounds $((from + 3))
	to=$(rounds)
	untrace "$1"
	sed -n "$((from + 2)),${to}p" "$TMP/rounds" >>"$TMP/$1"
}

start() { # command…: prints its rounds into $TMP/rounds, as $target
	rm -f "$TMP"/*
	"$@" >"$TMP/rounds" 2>/dev/null <"${input:-/dev/null}" &
	target=$!
	pids+=("$target")
}

states() { # runtime states threads
	local c
	in_time "$1, $2 states in $3 threads" || return 0
	host "$1"
	start "$BUILD/hosts/rounds-$1" states "$2" "$3"
	wait_until 20 more_rounds 3
	for c in bare floor watch exact; do : >"$TMP/$c"; done
	for ((i = 0; i < reps; i++)); do
		for c in bare floor watch exact; do phase "$c"; done
	done
	end "$target"
	printf '%s, %s states in %s threads\t%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" \
		"$(ratio "$(median "$TMP/bare")" 0.001)" \
		"$(ratio "$(median "$TMP/floor")" "$(median "$TMP/bare")")" \
		"$(ratio "$(median "$TMP/watch")" "$(median "$TMP/bare")")" \
		"$(ratio "$(median "$TMP/exact")" "$(median "$TMP/bare")")" \
		"$(ratio "$(median "$TMP/exact")" "$(median "$TMP/floor")")" \
		"$(median "$TMP/exact.cpu")"
}

ledger_bytes() { # pid: of its table of live blocks, whose entries are buckets of 256 bytes
	cat /proc/"$1"/fdinfo/* 2>/dev/null | awk '$1 == "value_size:" { v = $2 } $1 == "memlock:" { m = $2 }
		$1 == "map_id:" && v == 256 { print m; exit }'
}

live() { # blocks
	local from bytes
	in_time "$1 live blocks" || return 0
	host lua5.4
	input=$TMP.gate
	rm -f "$input"
	mkfifo "$input"
	start "$BUILD/hosts/rounds-lua5.4" live "$1"
	exec 9>"$input"
	rm -f "$input"
	input=
	sleep 0.5
	"$TRACER" -p "$target" -m exact --json --max-blocks "$1" >"$TMP/exact.json" 2>"$TMP/trace.err" &
	tracer=$!
	pids+=("$tracer")
	wait_until 60 grep -qs '^luamemtrace: tracing' "$TMP/trace.err"
	echo >&9
	exec 9>&-
	wait_until 200 more_rounds 6
	bytes=$(ledger_bytes "$tracer")
	from=$(rounds)
	sleep "$secs"
	wait_until 20 more_rounds $((from + 3))
	sed -n "$((from + 1)),\$p" "$TMP/rounds" | sed '$d' >"$TMP/exact"
	untrace exact
	end "$target"
	printf '%s live blocks\t%s\t%s\t%s\t%s\n' "$1" "$(ratio "$(median "$TMP/exact")" 0.00004 0)" \
		"$(jq -r 'select(.type == "end") | .lost.map_full' "$TMP/exact.json")" \
		"$((bytes >> 20))" "$(ratio "$bytes" "$1" 0)"
}

processes() { # how many
	local list='' p n from t0 t1
	in_time "$1 processes" || return 0
	rm -f "$TMP"/*
	for ((n = 0; n < $1; n++)); do
		lua5.4 -e 'local t = {} for i in io.lines() do for k = 1, 100 do t[k] = { i .. k } end end' \
			< <(exec perl -e '$| = 1; $SIG{PIPE} = sub { exit }; while (1) { print "\n"; select undef, undef, undef, 0.02 }') &
		p=$!
		pids+=("$p")
		list+=${list:+,}$p
	done
	sleep 0.5
	from=${#pids[@]}
	t0=$(date +%s%N)
	"$TRACER" -p "$list" -m exact --trace -d 30 2>/dev/null | head -n 1 >/dev/null
	t1=$(date +%s%N)
	trace exact "$list"
	sleep "$secs"
	untrace exact
	printf '%s processes\t%s\t%s\n' "$1" "$(awk -v t="$((t1 - t0))" 'BEGIN { printf "%.2f", t / 1e9 }')" \
		"$(median "$TMP/exact.cpu")"
	for ((n = from - $1; n < from; n++)); do end "${pids[n]}"; done
}

{
	printf 'states\tbare ms\tfloor\twatch\texact\texact/floor\ttracer CPU %%\n'
	states lua5.4 1 1
	states lua5.4 200 1
	states lua5.4 200 8
	states luajit 200 8
} >"$BUILD/bench-scale.tsv"
{
	printf 'blocks\tns a call\tlost\tledger MiB\tbytes a block\n'
	live 100000
	live 1000000
	live 10000000
} >"$BUILD/bench-live.tsv"
{
	printf 'targets\tseconds to the first event\ttracer CPU %%\n'
	for n in 1 8 32; do processes "$n"; done
} >"$BUILD/bench-targets.tsv"
for t in scale live targets; do
	table "$BUILD/bench-$t.tsv"
	echo
done
about "$reps phases of $secs s; states: medians of rounds, times bare; ns a call with what the call itself takes" >&2
