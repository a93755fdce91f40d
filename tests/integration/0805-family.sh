#!/bin/bash
# -p PID means the process and its descendants that run Lua, those that are there and those to come.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root
leak=$ROOT/tests/lua/leak.lua

# A supervisor without Lua, two workers below a child of it; one more comes later.
cat >"$TMP/supervisor.sh" <<E2
sh -c 'lua5.4 "$leak" 60 >/dev/null & lua5.4 "$leak" 60 >/dev/null & sleep 60 & echo ready; wait' &
read -r line
luajit "$leak" 60 >/dev/null &
read -r line
kill \$(cat "$TMP/workers") 2>/dev/null
E2
mkfifo "$TMP/in"
bash "$TMP/supervisor.sh" <"$TMP/in" >"$TMP/super.out" 2>&1 &
super=$!
pids+=("$super")
exec {gate}>"$TMP/in"
wait_for 20 has_line '^ready' "$TMP/super.out"
lua_below() { pgrep -f "$leak 60" | while read -r p; do is_ours "$p" && echo "$p"; done; }
wait_for 10 test "$(lua_below | grep -c .)" = 2
"$TRACER" -p "$super" --no-children -d 1 >"$TMP/alone" 2>&1
is "$? $(tail -n 1 "$TMP/alone" | sed 's/[0-9]* (.*) //')" \
	"66 luamemtrace: process runs no Lua; 'luamemtrace list' shows those that do" "--no-children: the supervisor runs no Lua"
start_trace family -p "$super" -m exact --json
open_gate
wait_for 10 test "$(lua_below | grep -c .)" = 3
sleep 3
stop_trace
is "$status" 0 "the supervisor's PID: status 0"
lua_below | sort -n >"$TMP/expected"
is "$(jq -r 'select(.type == "process") | .pid' "$TMP/family.trace" | sort -nu | xargs)" "$(xargs <"$TMP/expected")" \
	"its workers are traced, the one that came later too, nobody else"
is "$(jq -r 'select(.type == "process") | .parent' "$TMP/family.trace" | sort -u)" "$super" "whom they descend from"
is "$(jq -r 'select(.type == "site" and .stack[0].lua == "@'"$leak"':11") | .pid' "$TMP/family.trace" | sort -nu | xargs)" \
	"$(xargs <"$TMP/expected")" "the leaking line of each"
lua_below >"$TMP/workers"
open_gate
exec {gate}>&-
wait "$super" 2>/dev/null

# Each PID that was named is looked at; one that runs no Lua is not passed over.
start_gated named lua5.4 "$leak" 60
sleep 60 &
pids+=($!)
"$TRACER" -p "$target,$!" -d 1 >"$TMP/named" 2>&1
is "$? $(tail -n 1 "$TMP/named" | sed 's/(.*) //')" \
	"66 luamemtrace: process $! runs no Lua; 'luamemtrace list' shows those that do" "a PID without Lua beside one with it is refused by its number"

# Children that run something else are no rows, and none of them is open for ever.
cat >"$TMP/forks.lua" <<'E2'
io.write 'ready\n'
io.flush()
io.read()
for i = 1, 20 do
	os.execute('true')
	local p = io.popen('echo ' .. i)
	p:read('a')
	p:close()
end
local t = {}
for i = 1, 1000 do t[i] = { i } end
print 'done'
io.flush()
io.read()
E2
start_gated forks lua5.4 "$TMP/forks.lua"
start_trace forks -p "$target" -m exact --json
open_gate
wait_for 20 has_line '^done' "$TMP/forks.out"
sleep 1
stop_trace
is "$(jq -r 'select(.type == "process") | .pid' "$TMP/forks.trace" | sort -nu | xargs)" "$target" "forty children that ran something else: no rows"
is "$(jq -r 'select(.type == "state" and .closed == null) | .pid' "$TMP/forks.trace" | sort -nu | xargs)" "$target" "…and no open states"
is "$(nothing_lost "$TMP/forks.trace")" true "…and nothing was lost"
is "$(jq -c 'select(.type == "end") | .blind_spots' "$TMP/forks.trace")" null "…and nothing is blind"
open_gate
wait "$target"

# The trace ends with the process that was asked for, whatever a child that runs no Lua does.
cat >"$TMP/daemon.lua" <<'E2'
io.write 'ready\n'
io.flush()
io.read()
os.execute('sleep 30 >/dev/null 2>&1 &')
E2
start_gated daemon lua5.4 "$TMP/daemon.lua"
start_trace daemon -p "$target" --json
open_gate
ok "$(wait_for 8 has_line '"type":"end"' "$TMP/daemon.trace"; echo $?)" "a daemon left behind does not hold the trace up"
wait "$target"
done_testing
