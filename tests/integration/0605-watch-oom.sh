#!/bin/bash
# What an allocator refuses is told with its size also while no allocator is probed (-m watch): by where
# Lua's code goes on then.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/find.sh"
need_root
MODE=watch SETTLE=0.5 DWELL=0.2 # by then the probes of the allocators are off; what a window sees is the same

for rt in lua5.3 lua5.4; do
	run "once-$rt" -- "$HOSTS/inc_alloc-$rt" once
	is "$(ev "once-$rt" near-oom '"\(.evidence.osize)/\(.evidence.nsize)/\(.evidence.freed_bytes > 100000)"')" \
		32768/65536/true "$rt, refused once: near-oom, sizes, what the collection freed"
	is "$(ev "once-$rt" near-oom '.stack[0].lua')" "@work.lua:8" "$rt, refused once: the Lua line"
	is "$(kinds "once-$rt" | tr -d ' 0-9')" "near-oom:" "$rt, refused once: nothing else"
done
run twice -- "$HOSTS/inc_alloc-lua5.2" twice
is "$(ev twice oom '"\(.evidence.osize)/\(.evidence.nsize)/\(.evidence.refused)"')" 32768/65536/2 \
	"refused twice: oom with its sizes"
is "$(kinds twice | tr -d ' 0-9')" "oom:" "refused twice: nothing else"
for rt in lua5.1 luajit; do
	run "once-$rt" -- "$HOSTS/inc_alloc-$rt" once
	is "$(ev "once-$rt" oom '.evidence.nsize >= 65536')" true "$rt, refused once: oom with its size"
	is "$(kinds "once-$rt" | tr -d ' 0-9')" "oom:" "$rt, refused once: nothing else"
done
for rt in lua5.1 lua5.4; do
	run "shrink-$rt" -- "$HOSTS/inc_alloc-$rt" shrink
	is "$(ev "shrink-$rt" shrink-failure '.evidence.nsize < .evidence.osize')" true \
		"$rt, refused to shrink: told as that"
done
run good -- "$HOSTS/inc_alloc-lua5.4" good
is "$(kinds good)/$exited" /0 "enough memory: no finding"
done_testing
