#!/bin/bash
# Targets in other namespaces and roots, with other C libraries, of files that are gone; fewer privileges.
# alone: traces the whole system
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

leak=$ROOT/tests/lua/leak.lua
lua=$(command -v lua5.4)

# A root of its own: the interpreter, what it needs, the script
root=$TMP/root
mkdir -p "$root/proc"
for f in "$lua" $(ldd "$lua" | grep -o '/[^ ]*'); do
	mkdir -p "$root$(dirname "$f")"
	cp -L "$f" "$root$f"
done
cp "$lua" "$root/boxed54"
cp "$leak" "$root/leak.lua"

wait_for_process() { # name: the process of that name in $target
	wait_for 10 pgrep -x "$1" || return 1
	target=$(pgrep -x "$1" | head -n 1)
	pids+=("$target")
}

is_traced() { # description
	"$TRACER" -p "$target" -m exact -d 1 --json >"$TMP/t.trace" 2>"$TMP/t.err"
	is $? 0 "$1: status 0"
	is "$(jq -c 'select(.type == "state" and .state > 0) | [.allocs > 0, .frees > 0]' "$TMP/t.trace")" \
		'[true,true]' "$1: its state is traced"
	[ "$(jq -r 'select(.type == "site") | .stack[0].lua // empty' "$TMP/t.trace" | grep -c 'leak.lua:')" -gt 0 ]
	ok $? "$1: its lines are known"
}

run_boxed() { # unshare's options
	unshare "$@" --root="$root" /boxed54 /leak.lua 30 >"$TMP/boxed.out" 2>&1 &
	pids+=("$!")
	wait_for_process boxed54
}

end_boxed() {
	kill -9 "$target"
	wait_for 5 test ! -e "/proc/$target"
}

for how in "--mount" "--mount --pid --fork" "--user --map-root-user --mount --pid --fork"; do
	# shellcheck disable=SC2086  # options
	run_boxed $how
	is_traced "unshare $how"
	end_boxed
done

# The file is replaced or gone
cp "$lua" "$TMP/gone54"
"$TMP/gone54" "$leak" 60 >"$TMP/gone.out" &
target=$!
pids+=("$target")
wait_for 10 has_line '^ready$' "$TMP/gone.out"
rm "$TMP/gone54"
is_traced "a deleted program"
cp "$(command -v lua5.3)" "$TMP/gone54"
is_traced "a program that was upgraded since"
is "$(jq -r 'select(.type == "runtime") | .version' "$TMP/t.trace" | sort -u | cut -d. -f1,2)" 5.4 "and its own version named"
kill -9 "$target"

# An overlay
mkdir -p "$TMP/lower" "$TMP/upper" "$TMP/work" "$TMP/merged"
cp "$lua" "$TMP/lower/over54"
if mount -t overlay overlay -o "lowerdir=$TMP/lower,upperdir=$TMP/upper,workdir=$TMP/work" "$TMP/merged" 2>/dev/null; then
	"$TMP/merged/over54" "$leak" 60 >"$TMP/over.out" &
	target=$!
	pids+=("$target")
	wait_for 10 has_line '^ready$' "$TMP/over.out"
	is_traced "a program on an overlay"
	kill -9 "$target"
	wait "$target" 2>/dev/null
	umount -l "$TMP/merged"
else
	skip "cannot mount an overlay here" "a program on an overlay"
fi

# By cgroup
cg=$(awk -F: '$1 == 0 { print $3 }' /proc/self/cgroup)
base=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
if [ -n "$base" ] && mkdir "$base${cg%/}/lmt$$" 2>/dev/null; then
	cp "$lua" "$TMP/cg54"
	sh -c "echo \$\$ >'$base${cg%/}/lmt$$/cgroup.procs' && exec '$TMP/cg54' '$leak' 30" >"$TMP/cg.out" &
	target=$!
	pids+=("$target")
	wait_for 10 has_line '^ready$' "$TMP/cg.out"
	"$TRACER" --cgroup "${cg%/}/lmt$$" -m exact -d 1 --json >"$TMP/cg.trace" 2>/dev/null
	is "$(jq -r 'select(.type == "process") | .pid' "$TMP/cg.trace")" "$target" "--cgroup: its processes, no others"
	kill -9 "$target"
	wait "$target" 2>/dev/null
	sleep 0.2
	rmdir "$base${cg%/}/lmt$$"
else
	skip "cannot make a cgroup here" "--cgroup"
fi

# The tracer in a container of its own
unshare --pid --fork --mount-proc "$TRACER" -p 1 -m exact -d 1 >/dev/null 2>"$TMP/ns.err"
like "$?" '^(66|69)$' "a tracer in a PID namespace refuses"
unshare --pid --fork --mount-proc sh -c "'$lua' '$leak' 5 >/dev/null & sleep 0.3; '$TRACER' -p \$! -m exact -d 1; echo \$? >'$TMP/ns.rc'" \
	>/dev/null 2>"$TMP/ns.err"
is "$(cat "$TMP/ns.rc")" 69 "with status 69"
like "$(cat "$TMP/ns.err")" "--pid=host" "and says what to do"
unshare --pid --fork --mount-proc "$TRACER" doctor >"$TMP/ns.doctor" 2>&1
like "$(cat "$TMP/ns.doctor")" "fail +process numbers" "doctor says so too"

# Only the capabilities that it takes
"$lua" "$leak" 60 >"$TMP/caps.out" &
target=$!
pids+=("$target")
wait_for 10 has_line '^ready$' "$TMP/caps.out"
if "$TRACER" doctor 2>/dev/null | grep -q 'ok .*uprobe_multi' && command -v setpriv >/dev/null; then
	setpriv --inh-caps -all --bounding-set -all,+bpf,+perfmon,+sys_ptrace \
		"$TRACER" -p "$target" -m exact -d 1 --json >"$TMP/caps.trace" 2>"$TMP/caps.err"
	is $? 0 "CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE alone: status 0"
	is "$(jq -c 'select(.type == "state" and .state > 0) | .allocs > 0' "$TMP/caps.trace")" true "and calls are seen"
	grep -v tracing "$TMP/caps.err" | sed 's/^/# /'
	setpriv --inh-caps -all --bounding-set -all,+bpf,+perfmon "$TRACER" doctor >"$TMP/caps.doctor" 2>&1
	like "$(cat "$TMP/caps.doctor")" "note +read other processes.*not permitted" "doctor tells of a missing CAP_SYS_PTRACE"
	setpriv --inh-caps -all --bounding-set -all,+sys_ptrace \
		"$TRACER" -p "$target" -m exact -d 1 >/dev/null 2>"$TMP/nocaps.err"
	is $? 77 "without CAP_BPF: status 77"
	like "$(cat "$TMP/nocaps.err")" "CAP_BPF" "and says what is missing"
	# root gives up what it needs no more, and still attaches to who comes later
	cp "$lua" "$TMP/later54"
	start_trace dropped -n later54 -m exact --json 1
	"$TMP/later54" "$leak" 60 >"$TMP/later.out" &
	later=$!
	pids+=("$later")
	is_seen() { jq "select(.type == \"state\" and .pid == $later and .allocs > 0)" "$TMP/dropped.trace" | grep .; }
	wait_for 20 is_seen
	ok $? "with fewer privileges later processes are traced"
	for set in CapEff CapPrm CapBnd; do
		is "$((0x$(awk "/^$set/ { print \$2 }" "/proc/$tracer/status") & ~0x1c000080004))" 0 \
			"$set: CAP_BPF, _PERFMON, _CHECKPOINT_RESTORE, _SYS_PTRACE, _DAC_READ_SEARCH at most"
	done
	is "$(awk '/^NoNewPrivs/ { print $2 }' "/proc/$tracer/status")" 1 "and no new ones to come"
	stop_trace
	kill -9 "$later"
	# …but the command has all of its own
	"$TRACER" -q -m exact -- sh -c "sleep 0.2; grep CapEff /proc/self/status >'$TMP/child.caps'; lua5.4 -e 'local t = {}'" \
		>/dev/null 2>&1
	is "$(cat "$TMP/child.caps")" "$(grep CapEff /proc/self/status)" "a command keeps its privileges"
else
	skip "no uprobe_multi or no setpriv" "capabilities"
fi
kill -9 "$target"
done_testing
