#!/bin/bash
# The list: every state with its allocator, coroutines and heap, read from outside without a stop.
# alone: lists the whole system
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

for rt in $RUNTIMES; do
	start_gated "list-$rt" "$HOSTS/census_states-$rt" -t 2 -s 3 -c 2 -k 17
	"$TRACER" list -p "$target" --json >"$TMP/list" 2>"$TMP/list.err"
	is $? 0 "$rt: list succeeds"
	is "$(jq -c 'select(.type == "state") | [.threads, .heap_bytes > 10000, .gc_state != null]' \
		"$TMP/list" | sort | uniq -c | tr -s ' ')" ' 6 [17,true,true]' \
		"$rt: six states with 17 coroutines each"
	is "$(jq -r 'select(.type == "state") | .allocator' "$TMP/list" | sort -u)" \
		"$(case $rt in luajit) echo lj_alloc_f ;; *) echo l_alloc ;; esac)" "$rt: its own allocator"
	like "$("$TRACER" list -p "$target")" '17 coroutines' "$rt: coroutines in the text"
	open_gate
	open_gate
	wait "$target"
	is $? 0 "$rt: the target ends well"
	start_gated "custom-$rt" "$HOSTS/ledger-$rt" "$ROOT/tests/lua/mix.lua"
	like "$("$TRACER" list -p "$target" --json | jq -r 'select(.type == "state") | .allocator')" \
		"^custom: .*ledger-$rt" "$rt: a program's own allocator by its module"
	kill -9 "$target"
done

# A program that writes what it is into its title, as nginx does.
mkdir "$TMP/bin"
cp "$(command -v lua5.4)" "$TMP/bin/nginx"
rm -f "$TMP/title.in"
mkfifo "$TMP/title.in"
bash -c "exec -a 'nginx: worker process' '$TMP/bin/nginx' -i" <>"$TMP/title.in" >"$TMP/title.out" 2>&1 &
target=$!
pids+=("$target")
wait_for 10 has_line '>' "$TMP/title.out"
like "$("$TRACER" list -p "$target" --json | jq -r 'select(.type == "state") | .label')" \
	'^nginx worker process' "a label from the title"
kill -9 "$target"

# A program that never rests: no copy adds up, but what its state is for is told all the same.
cp "$(command -v lua5.4)" "$TMP/bin/redis-server"
cat >"$TMP/never.lua" <<'LUA'
redis = {}
print("ready")
io.stdout:flush()
while true do
	local t = {}
	for i = 1, 100 do t[i] = { i } end
end
LUA
start_gated never "$TMP/bin/redis-server" "$TMP/never.lua"
is "$("$TRACER" list -p "$target" --json | jq -r 'select(.type == "state") | .label')" eval \
	"a label from the heap of a program that never rests"
kill -9 "$target"
done_testing
