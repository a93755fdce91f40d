#!/bin/bash
# Programs that break the allocator's contract: each is told by its kind with its evidence; each
# misbehaves without us too; the healthy twin and others give no finding.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/find.sh"
need_root

truth() { grep '^{' "$TMP/$1.out" | jq -r "$2"; }

for rt in $RUNTIMES; do
	host=$HOSTS/inc_alloc-$rt
	for mode in good handed many plain; do
		run "$mode-$rt" -- "$host" "$mode"
		is "$(kinds "$mode-$rt")" "" "$rt, healthy ($mode): no finding"
		is "$exited" 0 "$rt, healthy ($mode): ends by itself"
	done
	run "reuse-$rt" --watch-call libc:write -- "$HOSTS/inc_reuse-$rt"
	like "$(truth "reuse-$rt" .reused)" '^[1-9]' "$rt, memory of Lua's that is C's by now: it is"
	is "$(kinds "reuse-$rt")" "" "$rt, memory of Lua's that is C's by now, and plain free(): no finding"
	run "memory-$rt" --watch-call libc:write -- "$HOSTS/inc_reuse-$rt" memory
	like "$(truth "memory-$rt" .reused)" '^[1-9]' "$rt, the same where nothing escapes us: it is"
	is "$(kinds "memory-$rt")" "" "$rt, the same where nothing escapes us: no finding"
	run "osize-$rt" -- "$host" osize
	is "$(truth "osize-$rt" .mismatches)" 20 "$rt, osize: the program sees the wrong sizes itself"
	is "$(kinds "osize-$rt")" "size-mismatch:2" "$rt, osize: one finding for each state"
	is "$(ev "osize-$rt" size-mismatch '"\(.evidence.recorded)/\(.evidence.osize)/\(.count)"')" \
		100/64/10 "$rt, osize: recorded 100, freed as 64, ten times"
	is "$(ev "osize-$rt" size-mismatch .stack[0].lua)" "@work.lua:1" "$rt, osize: with its Lua line"
	run "double-$rt" -- "$host" double
	is "$(kinds "double-$rt")" "double-free:2" "$rt, double: freed twice"
	is "$(ev "double-$rt" double-free .evidence.size)" 100 "$rt, double: size of the block"
	run "foreign-$rt" -- "$host" foreign
	is "$(kinds "foreign-$rt")" "foreign-free:1" "$rt, foreign: told where nothing predates us"
	run "outlive-$rt" -- "$host" outlive
	is "$(kinds "outlive-$rt")" "outlived-close:5" "$rt, outlive: one for each closed state"
	is "$(ev "outlive-$rt" outlived-close '"\(.evidence.size)/\(.evidence.tag)/\(.evidence.blocks)/\(.evidence.bytes)"')" \
		88/0/10/880 "$rt, outlive: ten of 88 bytes, tag 0"
	run "half-$rt" -- "$host" half
	is "$(ev "half-$rt" outlived-close '"\(.evidence.size)/\(.evidence.blocks)"')" 88/5 \
		"$rt, half of them went by plain free(): the others are told"
done
# Small blocks out of an array of the program's own: freed memory of a module, and rightly so.
for rt in lua5.1 lua5.4; do
	for mode in free work; do
		run "arena-$mode-$rt" -- "$HOSTS/inc_arena-$rt" "$mode"
		is "$(kinds "arena-$mode-$rt")" "" "$rt, an allocator with an arena ($mode): no finding"
	done
	# What the VM never got is freed too, so its total drifts, which may be told.
	run "lend-$rt" -- "$HOSTS/inc_arena-$rt" lend
	is "$(kinds "lend-$rt" | grep -o static-free)" "" "$rt, an arena that C code shares with Lua: no static free"
done
# A state that is long closed when we come to read: its lines were copied when they were met.
start_gated late "$HOSTS/inc_alloc-lua5.4" outlive
start_trace late -p "$target" -m exact --json
kill -STOP "$tracer"
open_gate
wait_for 60 done_or_gone late
kill -CONT "$tracer"
sleep "${DWELL:-0.7}"
stop_trace
jq -c 'select(.type == "finding")' "$TMP/late.trace" >"$TMP/late.find"
is "$(ev late outlived-close .stack[0].lua)" "@service.lua:3" "the lines of states that were closed before we read"
# The tag before tells the object: Lua 5.2 and 5.3 end a chunk's load with its prototype or upvalue.
like "$(ev outlive-lua5.4 outlived-close .evidence.prev_tag_name)" '^(proto|upvalue|function)$' \
	"lua5.4, outlive: tag of the block before"
for rt in lua5.2 lua5.3 lua5.4; do
	run "once-$rt" -- "$HOSTS/inc_alloc-$rt" once
	is "$(kinds "once-$rt")" "near-oom:2" "$rt, refused once: near-oom"
	is "$(ev "once-$rt" near-oom '"\(.evidence.osize)/\(.evidence.nsize)/\(.evidence.freed_bytes > 100000)"')" \
		32768/65536/true "$rt, refused once: sizes, and what the collection freed"
	run "twice-$rt" -- "$HOSTS/inc_alloc-$rt" twice
	is "$(truth "twice-$rt" .refused)" 4 "$rt, refused twice: the program says so"
	is "$(kinds "twice-$rt")" "oom:2" "$rt, refused twice: oom"
	is "$(ev "twice-$rt" oom '"\(.evidence.nsize)/\(.evidence.refused)/\(.confidence)"')" \
		65536/2/certain "$rt, refused twice: after an emergency collection"
	like "$(ev "twice-$rt" oom .evidence.allocator)" 'contract' "$rt, refused twice: names the allocator"
done
for rt in lua5.1 luajit; do
	run "once-$rt" -- "$HOSTS/inc_alloc-$rt" once
	is "$(kinds "once-$rt")" "oom:2" "$rt, refused once: there is no second try, so oom"
done
for rt in lua5.1 lua5.2 lua5.3 lua5.4; do
	run "shrink-$rt" -- "$HOSTS/inc_alloc-$rt" shrink
	like "$(kinds "shrink-$rt")" 'shrink-failure' "$rt, shrink refused: told"
	is "$(ev "shrink-$rt" shrink-failure '.evidence.nsize < .evidence.osize')" true \
		"$rt, shrink refused: smaller than it was"
done

# Offsets of l_G in lua_State and of the total in global_State, of Debian's builds.
for rt in "lua5.1 32 120" "lua5.4 24 16"; do
	read -r name L_glob total <<<"$rt"
	SETTLE=0.5 DWELL=2.5 run "drift-$name" -- "$HOSTS/inc_drift-$name" "$L_glob" "$total" 50000
	is "$(ev "drift-$name" accounting-drift '.evidence.vm_bytes - .evidence.ledger_bytes')" 50000 \
		"$name, drift: by so many bytes"
	SETTLE=0.5 DWELL=2.5 run "drift0-$name" -- "$HOSTS/inc_drift-$name" "$L_glob" "$total" 0
	is "$(kinds "drift0-$name")" "" "$name, no drift: no finding"
done

# Options.
run exit -- "$HOSTS/inc_alloc-lua5.4" osize
is "$status" 0 "findings alone do not change the exit status"
run exit1 --exit-code -- "$HOSTS/inc_alloc-lua5.4" osize
is "$status" 1 "--exit-code: status 1"
run exit0 --exit-code -- "$HOSTS/inc_alloc-lua5.4" good
is "$status" 0 "--exit-code: status 0 without findings"
run kinds --kinds oom,leak --exit-code -- "$HOSTS/inc_alloc-lua5.4" osize
is "$status $(kinds kinds)" "0 " "--kinds leaves others out"
printf '# known\n\nsize-mismatch:work.lua\n' >"$TMP/supp"
run supp --suppressions "$TMP/supp" --exit-code -- "$HOSTS/inc_alloc-lua5.4" osize
is "$status $(kinds supp)" "0 " "--suppressions leaves known ones out"
printf 'leak:^@service.lua:3$\n' >"$TMP/supp2"
run supp2 --suppressions "$TMP/supp2" -- "$HOSTS/inc_alloc-lua5.4" outlive
is "$(kinds supp2)" "" "--suppressions: leak stands for all kinds of leaks"
printf 'nonsense\n' >"$TMP/bad"
"$TRACER" -p 1 --suppressions "$TMP/bad" >/dev/null 2>"$TMP/err"
is "$?" 2 "a bad suppression is a usage error"
like "$(cat "$TMP/err")" "bad' line 1" "…that names the line"
"$TRACER" -p 1 --kinds leek >/dev/null 2>"$TMP/err"
is "$?" 2 "an unknown kind is a usage error"
done_testing
