#!/bin/bash
# The incidents: two copies of Lua, memory errors on and beside traces, memory freed while C uses it.
# Each crashes without us (that is asserted), is told with its cause before it does, and has a
# healthy twin that gives no finding.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/find.sh"
need_root

# bare COMMAND…: its exit status without a tracer, both gates open
bare() {
	(echo; sleep 2; echo) | timeout 60 "$@" >/dev/null 2>&1
	echo "${PIPESTATUS[1]}"
}

two=$HOSTS/inc_twolua
plugin=$HOSTS/inc_twolua_plugin
is "$(bare "$two" "$plugin")" 134 "two copies: aborts by itself"
strip -o "$TMP/two" "$two"
strip -o "$TMP/plugin" "$plugin"
for kind in named stripped; do
	[ "$kind" = named ] && cmd=("$two" "$plugin") || cmd=("$TMP/two" "$TMP/plugin")
	run "two-$kind" -- "${cmd[@]}"
	is "$exited" 134 "two copies, $kind: aborts traced too"
	is "$(kinds "two-$kind")" "cross-runtime:1 static-free:1" "two copies, $kind: both findings"
	is "$(ev "two-$kind" static-free '"\(.evidence.symbol) \(.evidence.section) \(.evidence.osize) \(.confidence)"')" \
		"dummynode_ .rodata 40 certain" "two copies, $kind: what is freed"
	is "$(ev "two-$kind" static-free '"\(.evidence.module) \(.evidence.caller_module)"')" \
		"${cmd[0]} ${cmd[1]}" "two copies, $kind: of which module, by which"
	is "$(ev "two-$kind" cross-runtime '"\(.evidence.home_module) \(.evidence.foreign_module) \(.evidence.function)"')" \
		"${cmd[0]} ${cmd[1]} luaM_realloc_" "two copies, $kind: home and foreign copy"
	is "$(jq -r '.stack[0].lua' "$TMP/two-$kind.find" | sort -u)" "@pages.lua:5" \
		"two copies, $kind: the Lua line, although the process is gone"
done
# Between windows too: the plugin's copy has no state of its own, so its ways to the allocator are watched.
SETTLE=1 MODE=watch run two-watch -- "$two" "$plugin"
is "$(kinds two-watch)" "cross-runtime:1 static-free:1" "two copies, -m watch: both findings"
is "$(ev two-watch static-free '"\(.evidence.symbol) \(.evidence.osize) \(.evidence.caller_function)"')" \
	"dummynode_ 40 luaM_realloc_" "two copies, -m watch: what is freed"
is "$(ev two-watch cross-runtime '"\(.evidence.function) \(.stack[0].lua)"')" "luaM_realloc_ @pages.lua:5" \
	"two copies, -m watch: the function and the Lua line"
for mode in exact watch; do
	MODE=$mode run "two-good-$mode" -- "$two" -
	is "$(kinds "two-good-$mode")/$exited" "/0" "one copy, -m $mode: no finding"
done

oom=$HOSTS/inc_oomjit
is "$(bare "$oom" 2000 1) $(bare "$oom" 2010 1)" "139 139" "memory error in a trace: crashes by itself"
run gcstep -- "$oom" 2000 1
is "$(ev gcstep oom-in-trace '.evidence | "\(.where) \(.gc_state) \(.vmstate) \(.nsize) \(.trace > 0) \(.trace_start)"')" \
	"gc-step-on-trace finalize -3 49152 true @trace.lua:22" "collector step on a trace"
is "$(kinds gcstep)" "oom-in-trace:1" "collector step on a trace: nothing else"
run exit -- "$oom" 2010 1
is "$(ev exit oom-in-trace '.evidence | "\(.where) \(.gc_state) \(.vmstate) \(.nsize) \(.trace > 0) \(.exit != null)"')" \
	"trace-exit finalize -2 49152 true true" "while a trace is left"
is "$(kinds exit)" "oom-in-trace:1" "while a trace is left: nothing else"
run ordinary -- "$oom" 1 2
is "$(kinds ordinary)" "oom:1" "a memory error in ordinary code stays oom"
run oom-good -- "$oom" 2010 0
is "$(kinds oom-good)/$exited" "/0" "enough memory: no finding"

ffi=$ROOT/tests/lua/inc_ffi.lua
is "$(bare luajit -joff "$ffi" bad)" 139 "freed memory in C's hands: crashes by itself"
for jit in -joff -Ohotloop=2; do
	run "uaf$jit" -- luajit "$jit" "$ffi" bad
	is "$(kinds "uaf$jit")" "use-after-free:1" "freed memory, $jit: one finding"
	is "$(ev "uaf$jit" use-after-free '.evidence | "\(.function) \(.argument) \(.block_size) \(.offset)"')" \
		"snprintf 1 1040 16" "freed memory, $jit: function, argument, block, offset"
	is "$(ev "uaf$jit" use-after-free '"\(.evidence.alloc[0].lua) \(.stack[0].lua)"')" \
		"@$ffi:42 @$ffi:53" "freed memory, $jit: lines of allocation and use"
	like "$(ev "uaf$jit" use-after-free '"\(.evidence.free[0].lua) \(.evidence.free_phase)"')" \
		"^@$ffi:(59|60) sweep\$" "freed memory, $jit: by the collection that this line asked for"
	run "over$jit" -- luajit "$jit" "$ffi" overflow
	is "$(kinds "over$jit")" "corrupt-chunk:1" "written past the end, $jit: one finding"
	is "$(ev "over$jit" corrupt-chunk '"\(.evidence.head_text) \(.evidence.alloc[0].lua)"')" \
		"flow ov @$ffi:21" "written past the end, $jit: the text, and whose block"
	run "ffi-good$jit" -- luajit "$jit" "$ffi" good
	is "$(kinds "ffi-good$jit")/$exited" "/0" "healthy buffers, $jit: no finding"
done
# The tracer does not get to run before the target is gone: what a line is told by was copied in time.
for jit in -joff -Ohotloop=2; do
	start_gated "late$jit" luajit "$jit" "$ffi" overflow
	start_trace "late$jit" -p "$target" -m exact --json
	kill -STOP "$tracer"
	open_gate
	wait "$target"
	kill -CONT "$tracer"
	wait "$tracer"
	is "$(jq -r 'select(.kind == "corrupt-chunk") | .evidence.alloc[0].lua' "$TMP/late$jit.trace")" \
		"@$ffi:21" "a tracer that comes late, $jit: the line all the same"
	is "$(jq -r '.. | .lua? // empty' "$TMP/late$jit.trace" | grep -c ':0$')" 0 \
		"a tracer that comes late, $jit: no line 0"
done
# glibc has several of memcpy(); the one in use is watched. The allocator calls it too, when it moves a block.
run part --watch-call libc:memcpy -- luajit "$ffi" read
is "$(ev part use-after-free '"\(.evidence.function) \(.evidence.argument) \(.evidence.block_size) \(.evidence.offset)"')" \
	"memcpy 2 2016 416" "--watch-call libc:memcpy: what ffi.string() reads"
is "$(ev part use-after-free '.evidence | [([.alloc, .free] | .[] | map(.lua // empty | sub(".*:"; "")) | join("<")),
	(.free_via | map(.native) | index("lua_gc") != null)] | join(" ")')" "30<31 32 true" \
	"…the whole stacks of the allocation and of the collection that freed it"
run memcpy --watch-call libc:memcpy -- luajit "$ffi" good 1000
is "$(kinds memcpy)/$exited" "/0" "--watch-call libc:memcpy: no finding in a healthy program"
run watch --watch-call libc:strtol --kinds use-after-free -- luajit "$ffi" good
is "$(kinds watch)/$status" "/0" "--watch-call: takes a function, healthy arguments give no finding"
done_testing
