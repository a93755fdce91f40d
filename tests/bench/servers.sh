#!/bin/bash
# What tracing costs servers under load: redis EVAL by redis-benchmark, nginx with Lua by wrk.
# usage: servers.sh [REPETITIONS [SECONDS]]
#
# Columns alternate on one server; figures are medians of requests a second and of the 99th percentile.
# SETTLE=N: each column is measured after N seconds under load (default 0: as soon as the probes stand).
# BENCH_COLUMNS: only these, bare first.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
reps=${1:-3} secs=${2:-3}
columns=${BENCH_COLUMNS:-bare watch auto exact memleak}
settle=${SETTLE:-0}
lib=$PEERS/usr/lib
export LD_LIBRARY_PATH=$lib/x86_64-linux-gnu

redis_up() {
	redis-server --port 7399 --save '' --appendonly no --dir "$TMP" >"$TMP/redis.log" 2>&1 &
	target=$!
	pids+=("$target")
	wait_until 10 redis-cli -p 7399 ping >/dev/null
}
redis_load() { # seconds, more or less; prints requests a second, p99 in ms
	redis-benchmark -p 7399 -c 20 -n $(($1 * 10000)) --csv EVAL \
		"local t = {} for i = 1, 20 do t[i] = KEYS[1] .. i end return #table.concat(t)" 1 key 2>/dev/null |
		awk -F, 'NR == 2 { gsub(/"/, ""); print $(NF - 6), $(NF - 1) }'
}

nginx_up() {
	mkdir -p "$TMP/logs"
	cat >"$TMP/nginx.conf" <<CONF
load_module $lib/nginx/modules/ndk_http_module.so;
load_module $lib/nginx/modules/ngx_http_lua_module.so;
user root;
worker_processes 1;
daemon off;
pid $TMP/nginx.pid;
error_log $TMP/logs/error.log;
events { worker_connections 256; }
http {
	access_log off;
	client_body_temp_path $TMP/b; proxy_temp_path $TMP/p; fastcgi_temp_path $TMP/f; uwsgi_temp_path $TMP/u; scgi_temp_path $TMP/s;
	lua_package_path "$PEERS/usr/share/lua/5.1/?.lua;;";
	server {
		listen 127.0.0.1:7398;
		location / {
			content_by_lua_block {
				local t = {}
				for i = 1, 50 do t[i] = ngx.var.uri .. i end
				ngx.say(table.concat(t, ","))
			}
		}
	}
}
CONF
	nginx -c "$TMP/nginx.conf" -p "$TMP" >"$TMP/nginx.log" 2>&1 &
	pids+=("$!")
	wait_until 10 test -s "$TMP/nginx.pid" || return 1
	sleep 0.5
	target=$(pgrep -P "$(cat "$TMP/nginx.pid")" | head -n 1)
	[ -n "$target" ]
}
nginx_load() { # seconds
	wrk -t 1 -c 20 -d "${1}s" --latency http://127.0.0.1:7398/ 2>/dev/null | awk '
		$1 == "99%" { p = $2; p = p ~ /us$/ ? p / 1000 : p ~ /ms$/ ? p + 0 : p * 1000 }
		/^Requests\/sec/ { print $2, p }'
}

server() { # name client: each of the columns, again and again
	local c
	in_time "$1" || return 0
	for c in $columns; do : >"$TMP/$c.rps"; : >"$TMP/$c.p99"; done
	if ! have "$2" || ! "$1_up"; then
		printf "%s\tnot available\n" "$1"
		return 0
	fi
	"$1_load" "$secs" >/dev/null
	for ((i = 0; i < reps; i++)); do
		for c in $columns; do
			trace "$c" "$target" || { tracer=; continue; }
			[ "$settle" -eq 0 ] || "$1_load" "$settle" >/dev/null
			"$1_load" "$secs" >"$TMP/load"
			untrace "$c"
			awk '{ print $1 }' "$TMP/load" >>"$TMP/$c.rps"
			awk '{ print $2 }' "$TMP/load" >>"$TMP/$c.p99"
		done
	done
	printf '%s\t%s\t%s' "$1" "$(median "$TMP/bare.rps")" "$(median "$TMP/bare.p99")"
	for c in ${columns#bare}; do
		printf '\t%s\t%s' "$(ratio "$(median "$TMP/$c.rps")" "$(median "$TMP/bare.rps")")" \
			"$(ratio "$(median "$TMP/$c.p99")" "$(median "$TMP/bare.p99")")"
	done
	echo
	for p in "${pids[@]}"; do end "$p"; done
	pids=()
}

{
	printf 'server\tbare req/s\tbare p99 ms'
	for c in ${columns#bare}; do printf '\t%s req/s\t%s p99' "$c" "$c"; done
	echo
	server redis redis-benchmark
	server nginx wrk
} >"$BUILD/bench-servers.tsv"
table "$BUILD/bench-servers.tsv"
about "medians of $reps runs of about $secs s, each after $settle s under load; times bare, - is not available" >&2
