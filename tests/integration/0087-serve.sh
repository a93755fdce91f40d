#!/bin/bash
# serve: what scrapers get agrees with a report, hostile names stay within their quotes, and bad
# requests are refused while the trace goes on.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

get() { # PATH [METHOD]: status on stderr, body on stdout
	python3 - "$port" "$@" <<'PY' 2>"$TMP/status"
import http.client, sys
c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=20)
c.request(sys.argv[3] if len(sys.argv) > 3 else "GET", sys.argv[2])
r = c.getresponse()
sys.stdout.buffer.write(r.read())
print(r.status, file=sys.stderr)
PY
}
code() { get "$@" >/dev/null; cat "$TMP/status"; }
listening() { [ "$(code /)" = 200 ]; }

start_gated one "$HOSTS/ledger-lua5.4" "$ROOT/tests/lua/mix.lua"
port=$((20000 + $$ % 20000))
"$TRACER" serve --listen "127.0.0.1:$port" -p "$target" -m exact --label pid >"$TMP/out" 2>"$TMP/err" &
tracer=$!
pids+=("$tracer")
wait_for 20 listening
ok $? "it listens"
open_gate
wait_for 60 has_line '^done$' "$TMP/one.out"
get /metrics >"$TMP/metrics"
is "$(cat "$TMP/status")" 200 "metrics: status 200"
value() { awk -v m="luamemtrace_$1{" 'index($0, m) == 1 && /state="1"/ { print $NF }' "$TMP/metrics"; }
truth() { grep '^{' "$TMP/one.out" | jq -r ".states[0].$1"; }
is "$(value allocations_total) $(value frees_total) $(value live_bytes)" \
	"$(truth allocs) $(truth frees) $(truth live_bytes)" "metrics: the program's own books"
is "$(grep -vcE '^(# (HELP|TYPE) luamemtrace_[a-z_]+ .+|luamemtrace_[a-z_]+(\{([a-z_]+="([^"\\]|\\.)*",?)+\})? -?[0-9.]+)$' "$TMP/metrics")" \
	0 "metrics: each line is of the format"
is "$(grep -v '^#' "$TMP/metrics" | sed 's/ [^ ]*$//' | sort | uniq -d)" "" "metrics: no series twice"
like "$(cat "$TMP/metrics")" 'luamemtrace_complete 1' "metrics: completeness is said"
get /debug/pprof/heap | gunzip -c >"$TMP/heap.pb"
is "$? $([ -s "$TMP/heap.pb" ] && echo some)" "0 some" "pprof: a gzipped profile"
is "$(code /nonsense)" 404 "unknown path: 404"
is "$(code /metrics POST)" 405 "POST: 405"
printf 'nonsense\r\n\r\n' >"/dev/tcp/127.0.0.1/$port"
is "$(code /metrics)" 200 "and it goes on"
"$TRACER" serve --listen "127.0.0.1:$port" -p "$target" 2>"$TMP/second"
is $? 74 "an address in use: status 74"
python3 - "$port" >"$TMP/slow" <<'PY'
import socket, sys, time
port = int(sys.argv[1])
def ask(text):
    s = socket.create_connection(("127.0.0.1", port), timeout=20)
    s.sendall(text)
    got = b""
    while True:
        b = s.recv(65536)
        if not b:
            return int(got.split()[1]) if got else 0
        got += b
slow = []
for i in range(50):
    slow.append(socket.create_connection(("127.0.0.1", port)))
    slow[-1].sendall(b"GET /metrics HTTP/1.1\r\nHost: x")
print("slow", ask(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"))
print("body", ask(b"GET / HTTP/1.1\r\nHost: localhost:1\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70000))
print("host", ask(b"GET / HTTP/1.1\r\nHost: rebound.example\r\n\r\n"))
print("v6", ask(b"GET /?a=b HTTP/1.1\r\nhost: [::1]:80\r\n\r\n"))
print("long", ask(b"GET / HTTP/1.1\r\nX: " + b"y" * 9000 + b"\r\n\r\n"))
print("line", ask(b"GET /\r\n\r\n"))
late = socket.create_connection(("127.0.0.1", port), timeout=30)
begun = time.time()
try:
    while time.time() - begun < 25: # a byte now and then does not keep it
        late.sendall(b"G")
        time.sleep(0.5)
except OSError:
    pass
print("late", "closed" if time.time() - begun < 20 else "kept")
PY
is "$(tr '\n' ' ' <"$TMP/slow")" "slow 200 body 200 host 421 v6 200 long 431 line 400 late closed " \
	"slow, foreign, long and broken requests cost no other an answer"
stop_trace
is "$status" 0 "Ctrl-C ends it with status 0"
"$TRACER" serve --listen 127.0.0.1:65536 -p "$target" 2>"$TMP/port"
is "$? $(grep -c ADDRESS:PORT "$TMP/port")" "2 1" "no such port: usage"
open_gate
"$TRACER" serve -p $$ 2>/dev/null
is $? 2 "no address: usage"
"$TRACER" serve --listen 9464 -p $$ 2>/dev/null
is $? 2 "no HOST:PORT: usage"

# A chunk name full of quotes, line feeds and escapes
start_gated hostile lua5.4 "$ROOT/tests/lua/hostile.lua" gate
"$TRACER" serve --listen "127.0.0.1:$port" -p "$target" -m exact >"$TMP/out" 2>"$TMP/err" &
tracer=$!
pids+=("$tracer")
wait_for 20 listening
open_gate
wait_for 20 has_line '^done$' "$TMP/hostile.out"
get /metrics >"$TMP/metrics"
[ "$(grep -c '^luamemtrace_site_live_bytes' "$TMP/metrics")" -ge 10 ]
ok $? "hostile names: they are there"
is "$(LC_ALL=C grep -c '[^ -~]' <(grep site_live_bytes "$TMP/metrics" | LC_ALL=C tr -d '\200-\377'))" 0 \
	"hostile names: no control characters"
is "$(grep -vcE '^(# (HELP|TYPE) luamemtrace_[a-z_]+ .+|luamemtrace_[a-z_]+(\{([a-z_]+="([^"\\]|\\.)*",?)+\})? -?[0-9.]+)$' "$TMP/metrics")" \
	0 "hostile names: each line is of the format"
stop_trace
open_gate

# Two of one program: one series by its name, that of all who live; a death leaves no gauge behind.
start_gated first "$HOSTS/ledger-lua5.4" "$ROOT/tests/lua/mix.lua"
first=$target first_gate=$gate
start_gated second "$HOSTS/ledger-lua5.4" "$ROOT/tests/lua/mix.lua"
"$TRACER" serve --listen "127.0.0.1:$port" -p "$first,$target" -m exact >"$TMP/out" 2>"$TMP/err" &
tracer=$!
pids+=("$tracer")
wait_for 20 listening
echo >&"$first_gate"
open_gate
wait_for 60 has_line '^done$' "$TMP/first.out"
wait_for 60 has_line '^done$' "$TMP/second.out"
sum() { awk -v m="luamemtrace_$1{" 'index($0, m) == 1 { n++; s += $NF } END { print n + 0, s + 0 }' "$TMP/metrics"; }
allocs() { grep '^{' "$TMP/$1.out" | jq -r ".states[0].$2"; }
get /metrics >"$TMP/metrics"
is "$(sum allocations_total)" "1 $(($(allocs first allocs) + $(allocs second allocs)))" "one series for the program: the sum"
is "$(sum live_bytes)" "1 $(($(allocs first live_bytes) + $(allocs second live_bytes)))" "of gauges too"
is "$(grep -c 'pid=' "$TMP/metrics")" 0 "no number of a process"
echo >&"$first_gate"
wait "$first"
one_left() { get /metrics >"$TMP/metrics"; grep -q '^luamemtrace_attached_targets 1$' "$TMP/metrics"; }
wait_for 20 one_left
ok $? "one is dead, one is left"
is "$(sum live_bytes)" "1 $(allocs second live_bytes)" "the dead one is in no gauge"
is "$(sum allocations_total)" "1 $(($(allocs first allocs) + $(allocs second allocs)))" "and the counter did not fall"
is "$(code /healthz)" 200 "healthz: 200"
stop_trace
open_gate
done_testing
