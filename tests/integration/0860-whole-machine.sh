#!/bin/bash
# -a on a machine full of Lua: servers that embed it and twenty interpreters, some there before, some started,
# exec'ed or loaded later. Each state once, under its own name; nothing is found in the healthy; nobody is harmed.
# alone: traces the whole system
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

declare -A states name # by pid: how many it has, and of which Lua

# A program's own packages, unpacked apart: some cannot be installed beside others. Sets $root.
unpacked() { # name package…
	root=$BUILD/packages/$1
	[ -e "$root/done" ] && return
	shift
	mkdir -p "$root/deb"
	(cd "$root/deb" && timeout 60 apt-get download "$@") >"$TMP/apt.out" 2>&1 || return 1
	for p in "$root"/deb/*.deb; do
		dpkg -x "$p" "$root" || return 1
	done
	touch "$root/done"
}

started() { # pid title states
	name[$1]=$2 states[$1]=$3
	pids+=("$1")
}

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

get() { # port: the answer's last line
	exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
	printf 'GET / HTTP/1.0\r\n\r\n' >&3
	tail -n 1 <&3
	exec 3<&-
}

handler='local t = {} for i = 1, 50 do t[i] = "line " .. i end local answer = table.concat(t, ",")'

start_nginx() {
	local lib=/usr/lib libs='' master
	root=
	if [ ! -e /usr/lib/nginx/modules/ngx_http_lua_module.so ]; then
		unpacked nginx nginx libnginx-mod-http-lua libnginx-mod-http-ndk libluajit2-5.1-2 lua-resty-core \
			lua-resty-lrucache || return 1
		lib=$root/usr/lib libs=$root/usr/lib/x86_64-linux-gnu
	fi
	cat >"$TMP/nginx.conf" <<-CONF
		load_module $lib/nginx/modules/ndk_http_module.so;
		load_module $lib/nginx/modules/ngx_http_lua_module.so;
		user root; worker_processes 1; daemon off; pid $TMP/nginx.pid; error_log $TMP/nginx.log;
		events { worker_connections 64; }
		http {
			access_log off;
			client_body_temp_path $TMP/n1; proxy_temp_path $TMP/n2; fastcgi_temp_path $TMP/n3;
			uwsgi_temp_path $TMP/n4; scgi_temp_path $TMP/n5;
			lua_package_path "$root/usr/share/lua/5.1/?.lua;;";
			server {
				listen 127.0.0.1:7461;
				location / { content_by_lua_block { $handler ngx.say("nginx " .. #answer) } }
			}
		}
	CONF
	LD_LIBRARY_PATH=$libs "$root/usr/sbin/nginx" -c "$TMP/nginx.conf" -p "$TMP" >"$TMP/nginx.out" 2>&1 &
	pids+=("$!")
	wait_for 10 port_open 7461 && wait_for 5 test -s "$TMP/nginx.pid" || return 1
	master=$(cat "$TMP/nginx.pid")
	started "$master" LuaJIT 1
	started "$(pgrep -P "$master" | head -n 1)" LuaJIT 1
}

start_redis() {
	command -v redis-server >/dev/null || return 1
	redis-server --port 7462 --save '' --appendonly no --dir "$TMP" >"$TMP/redis.out" 2>&1 &
	started $! "Lua 5.1" "[12]" # one for EVAL, one for functions
	wait_for 10 port_open 7462
}

start_haproxy() {
	command -v haproxy >/dev/null || return 1
	cat >"$TMP/haproxy.lua" <<-LUA
		core.register_service("hello", "http", function(a) $handler
			answer = "haproxy " .. #answer .. "\n"
			a:set_status(200) a:add_header("content-length", #answer) a:start_response() a:send(answer)
		end)
	LUA
	printf '%s\n' global "lua-load $TMP/haproxy.lua" "nbthread 1" defaults "mode http" "timeout client 5s" "timeout server 5s" \
		"timeout connect 5s" "frontend f" "bind 127.0.0.1:7463" "http-request use-service lua.hello" >"$TMP/haproxy.cfg"
	haproxy -f "$TMP/haproxy.cfg" -db >"$TMP/haproxy.out" 2>&1 &
	started $! "Lua 5.[34]" "[12]" # one for all threads, one for this one
	wait_for 10 port_open 7463
}

start_prosody() {
	command -v prosody >/dev/null || return 1
	mkdir -p "$TMP/prosody"
	printf '%s\n' 'run_as_root = true' 'interfaces = { "127.0.0.1" }' 'c2s_ports = { 7464 }' 's2s_ports = {}' \
		'c2s_direct_tls_ports = {}' 's2s_direct_tls_ports = {}' 'http_ports = {}' 'https_ports = {}' \
		"data_path = '$TMP/prosody'" "pidfile = '$TMP/prosody.pid'" 'log = { error = "*console" }' 'VirtualHost "localhost"' \
		>"$TMP/prosody.cfg.lua"
	prosody -F --config "$TMP/prosody.cfg.lua" >"$TMP/prosody.out" 2>&1 &
	started $! "Lua 5" 1
	wait_for 15 port_open 7464
}

start_nvim() {
	command -v nvim >/dev/null || return 1
	echo 'local kept, n = {}, 0
		vim.loop.new_timer():start(10, 10, function()
			n = n + 1
			for i = 1, 20 do kept[(n * 20 + i) % 500] = { "entry " .. n } end
		end)' >"$TMP/edit.lua"
	nvim --headless -u NONE -i NONE --cmd "luafile $TMP/edit.lua" --listen "$TMP/nvim.sock" </dev/null >"$TMP/nvim.out" 2>&1 &
	started $! LuaJIT 1
	wait_for 10 test -S "$TMP/nvim.sock"
}

# An interpreter that works whenever it gets a line, and says at the end what it worked out
cat >"$TMP/work.lua" <<'LUA'
local store, n, sum = {}, 0, 0
for _ in io.lines() do
	n = n + 1
	for i = 1, 50 do store[i] = { n, "value " .. n .. " " .. i } end
	sum = (sum * 31 + #store[n % 50 + 1][2] + store[1][1]) % 1000003
end
print(n, sum)
LUA
workers=()
start_worker() { # interpreter [command in front]
	local i=${#workers[@]}
	mkfifo "$TMP/work$i.in"
	"${@:2}" "$1" "$TMP/work.lua" <"$TMP/work$i.in" >"$TMP/work$i.out" 2>"$TMP/work$i.err" &
	workers+=("$!:$1")
	case $1 in
	luajit) started $! LuaJIT 1 ;;
	*) started $! "Lua ${1#lua}" 1 ;;
	esac
}

# Gives each of the workers from a number on a line, twenty times a second, until it is killed
feed() { # from to
	python3 -c '
import sys, time
out = [open("%s/work%d.in" % (sys.argv[1], i), "wb", 0) for i in range(int(sys.argv[2]), int(sys.argv[3]))]
while True:
    for f in out: f.write(b"\n")
    time.sleep(0.05)' "$TMP" "$1" "$2" &
	feeders+=("$!")
	pids+=("$!")
}
feeders=()

# Starts it, or says why it is left out.
running=
start() { # name
	if "start_$1"; then
		running="$running $1"
	elif [ -e "$TMP/$1.out" ]; then
		skip "$1 does not start: $(tail -n 1 "$TMP/$1.out")" "$1 under -a"
	else
		skip "$1 is not installed" "$1 under -a"
	fi
}

for s in nginx redis haproxy prosody; do start "$s"; done
for rt in $RUNTIMES $RUNTIMES; do start_worker "$rt"; done
feed 0 10

start_trace all -a -m exact --json 1
start nvim
for rt in $RUNTIMES; do start_worker "$rt"; done
for rt in $RUNTIMES; do start_worker "$rt" sh -c 'sleep 0.3; exec "$@"' sh; done
feed 10 20
rm -f "$TMP/late.in"
lib=$(ldconfig -p | awk '/liblua5.4.so.0 / { print $NF; exit }')
start_gated late "$HOSTS/dlopen" -l "$ROOT/tests/lua/places.lua" "$lib"
started "$target" "Lua 5.4" 1
open_gate
wait_for 10 has_line '^loaded' "$TMP/late.out"

for _ in $(seq 1 40); do
	[[ $running == *nginx* ]] && get 7461
	[[ $running == *haproxy* ]] && get 7463
	[[ $running == *redis* ]] && redis-cli -p 7462 eval "$handler return 'redis ' .. #answer" 0
	sleep 0.05
done >"$TMP/answers" 2>&1

# Has the work of every interpreter been seen?
busy() { jq -r 'select(.type == "state" and .allocs > 100) | .pid' "$TMP/all.trace" 2>/dev/null | sort -u; }
all_seen() {
	local pid seen
	seen=$(busy)
	for pid in "${workers[@]%%:*}"; do
		grep -qx "$pid" <<<"$seen" || return 1
	done
}
wait_for 30 all_seen
ok $? "the work of all ${#workers[@]} interpreters is seen"
open_gate
wait_for 20 has_line '^end$' "$TMP/late.out"
for s in nginx redis haproxy; do
	[[ $running == *$s* ]] && is "$(grep -c "^$s 390" "$TMP/answers")" 40 "$s: forty answers, all right"
done
stop_trace
is "$status" 0 "-a: status 0"

# Each process once, each state once, under its own name
pids_json=$(printf '%s\n' "${!states[@]}" | jq -sc .)
trace=$TMP/ours
jq -c --argjson ours "$pids_json" 'select(.pid as $p | $ours | index($p))' "$TMP/all.trace" >"$trace"
jq -r 'if .type == "process" then [.pid, .type, .comm]
	elif .type == "runtime" then [.pid, .type, (if .family == "luajit" then "LuaJIT " else "Lua " end) + .version]
	elif .type == "state" and .state > 0 then [.pid, .type, .state, .L]
	else empty end | @tsv' "$trace" >"$TMP/told"
of() { awk -F '\t' -v pid="$1" -v type="$2" -v col="${3:-3}" '$1 == pid && $2 == type { print $col }' "$TMP/told"; }
wrong=0
for pid in "${!states[@]}"; do
	what=$(of "$pid" process | sort -u) title=$(of "$pid" runtime)
	n=$(of "$pid" state | sort -u | wc -l) own=$(of "$pid" state 4 | sort -u | wc -l)
	if [ "$(echo "$what" | wc -l)" != 1 ] || [ "$what" != "$(cat "/proc/$pid/comm" 2>/dev/null)" ] ||
		! [[ $title =~ ^${name[$pid]} ]] || ! [[ $n =~ ^${states[$pid]}$ ]] || [ "$own" != "$n" ]; then
		echo "# process $pid: told as '$what', $title, with $n states; it is $(cat "/proc/$pid/comm"), ${name[$pid]}, ${states[$pid]}"
		wrong=$((wrong + 1))
	fi
done
is "$wrong" 0 "${#states[@]} processes ($running, and the interpreters): each once, each state once"
is "$(jq -c 'select(.type == "finding")' "$trace")" "" "nothing is found in programs without fault"
is "$(jq -r 'select(.type == "site" and .verdict == "leak") | .stack[0].lua' "$trace")" "" "and no line is called a leak"

# Nobody is harmed
for s in nginx haproxy; do
	[ "$s" = nginx ] && port=7461 || port=7463
	[[ $running == *$s* ]] && like "$(get "$port")" "^$s 390" "$s answers after the trace"
done
kill "${feeders[@]}"
bad=0
for i in "${!workers[@]}"; do
	wait "${workers[i]%%:*}" || bad=$((bad + 1))
	n=$(cut -f 1 "$TMP/work$i.out")
	[ "$(seq "${n:-0}" | "${workers[i]#*:}" "$TMP/work.lua")" = "$(cat "$TMP/work$i.out")" ] || bad=$((bad + 1))
done
is "$bad" 0 "${#workers[@]} interpreters end well and have worked out the right thing"
dead=0
for pid in "${!states[@]}"; do
	case " ${workers[*]%%:*} " in *" $pid "*) continue ;; esac
	[[ $(awk '{ print $3 }' "/proc/$pid/stat" 2>/dev/null) == [RS] ]] || dead=$((dead + 1))
done
is "$dead" 0 "the servers run on"
none_left_in_kernel
ok $? "nothing of ours is left in the kernel"
echo >&"$gate"
done_testing
