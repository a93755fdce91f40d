# Guest side: what the tracer does on this kernel. A test is a function t_NAME; each result is a line
# "RESULT ok text", "RESULT not ok text" or "RESULT skip text", all else is for people. The last line tells how
# many results there were. usage: tests.sh TEST…   (busybox sh)
# SPDX-License-Identifier: MIT
# shellcheck shell=dash disable=SC2086  # words, all of them without blanks
LMT=luamemtrace
LUA=/lmt/lua
LEAK="@$LUA/leak.lua:$(grep -n LEAK $LUA/leak.lua | cut -d: -f1)"
PAUSE="--pause-budget 2000" # an emulated machine copies slowly
target='' tracer='' results=0

say() { echo "### [$(cut -d. -f1 /proc/uptime) s] $*"; }
result() { # status text
	results=$((results + 1))
	if [ "$1" = 0 ]; then echo "RESULT ok $2"; else echo "RESULT not ok $2"; fi
}
skip() { # text
	results=$((results + 1))
	echo "RESULT skip $1"
}
same() { # got expected text
	[ "$1" = "$2" ]
	result $? "$3"
	[ "$1" = "$2" ] || printf '# got: %s\n# expected: %s\n' "$1" "$2"
}
wait_until() { # seconds command…
	local end
	end=$(($(cut -d. -f1 /proc/uptime) + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$(cut -d. -f1 /proc/uptime)" -lt $end ] || return 1
		sleep 0.2
	done
}
has() { grep -q "$1" "$2"; }

start() { # out-file command…: a target
	local out=$1
	shift
	: >"$out"
	"$@" >"$out" 2>"$out.err" &
	target=$!
	wait_until 20 has ready "$out"
}
start_leak() { start /tmp/leak.out "$1" $LUA/leak.lua 3000; }
start_gated() { # out-file command…: waits for a line on fd 9
	local out=$1
	shift
	rm -f /tmp/gate
	mkfifo /tmp/gate
	: >"$out"
	"$@" </tmp/gate >"$out" 2>"$out.err" &
	target=$!
	exec 9>/tmp/gate
	wait_until 20 has ready "$out"
}
start_trace() { # arguments…: JSON in /tmp/trace
	$LMT "$@" --json >/tmp/trace 2>/tmp/trace.err &
	tracer=$!
	wait_until 60 has '^luamemtrace: tracing' /tmp/trace.err
}
# An emulated machine beside others is slow: until the line is told, not for so many seconds.
wait_for_leak() { wait_until ${1:-180} has '"kind":"leak"' /tmp/trace; }
stop_trace() { # status in $?
	kill -INT $tracer
	wait $tracer
}
alive() { grep -qs '^State:[[:space:]]*[RS]' /proc/$target/status; }
end_target() { # text
	alive
	result $? "$1: the target lives"
	kill $target
	wait $target 2>/dev/null
}
text_differs() { textdiff $target "$(readlink -f /proc/$target/exe)"; }
leaks() { jq -Mr 'select(.type == "finding" and .kind == "leak") | .stack[0].lua' "$1" | sort -u | tr '\n' ' '; }
lost() { jq -Mc 'select(.type == "end") | .lost | del(.read_fault) | with_entries(select(.value > 0))' /tmp/trace; }
as_caps() { # capabilities command… (busybox has a setpriv of its own that knows less)
	local caps=$1
	shift
	/usr/bin/setpriv --reuid=1000 --regid=1000 --clear-groups --inh-caps=-all,$caps --ambient-caps=-all,$caps \
		--bounding-set=-all,$caps "$@"
}
CAPS=+bpf,+perfmon,+sys_ptrace

way_name() {
	case $1 in
	session) echo "uprobe_multi session" ;;
	multi) echo uprobe_multi ;;
	*) echo perf ;;
	esac
}
has_way() { # a test may know what the program has to find out: since when the kernel has it
	local since=0
	case $1 in
	session) since=6013 ;;
	multi) since=6006 ;;
	esac
	[ "$(uname -r | awk -F. '{ print $1 * 1000 + $2 }')" -ge $since ]
}

# Do all programs load, those of the C heap too, by each way that this kernel has?
t_load() {
	say load
	$LMT doctor -v >/tmp/doctor 2>&1
	result $? "doctor: all that is needed is here"
	cat /tmp/doctor
	for way in session multi perf; do
		has_way $way || continue
		grep -qE "^ok +$(way_name $way) +our programs load and attach" /tmp/doctor
		result $? "doctor: our programs load and attach by $(way_name $way)"
	done
	start_leak luajit
	$LMT -p $target -m exact -d 1 --kinds c-leak >/tmp/out 2>&1
	result $? "all programs load for a trace"
	grep -E '^luamemtrace: ' /tmp/out
	end_target load
}

# The main job: the leaking line, and the text of the target as it was before
t_exact() {
	for rt in ${RTS:-lua5.4 luajit}; do
		say "exact $rt"
		start_leak $rt
		start_trace -p $target -m exact $PAUSE 5
		[ "$(text_differs)" -gt 0 ]
		result $? "exact $rt: probes stand"
		wait_for_leak
		stop_trace
		result $? "exact $rt: the trace ends well"
		same "$(leaks /tmp/trace)" "$LEAK " "exact $rt: the leaking line and no other"
		same "$(lost)" "{}" "exact $rt: nothing is lost"
		same "$(text_differs)" 0 "exact $rt: the text is as it was"
		end_target "exact $rt"
	done
}
t_line() { RTS=lua5.4 t_exact; }

FIELDS='[.L, .allocs, .frees, .reallocs, .failures, .alloc_bytes, .live_bytes, .live_blocks] | map(tostring) | join(" ")'
way_taken() { sed -n 's/^luamemtrace: tracing .* probes (\([^)]*\)).*/\1/p' /tmp/trace.err; }
books() { # runtime text arguments…: a program that keeps its own books must agree call by call
	local rt=$1 text="books $1 $2"
	shift 2
	say "$text"
	start_gated /tmp/ledger.out /lmt/ledger-$rt "$@" $LUA/mix.lua
	start_trace -p $target -m exact
	grep '^luamemtrace: ' /tmp/trace.err
	text="$text ($(way_taken))"
	echo >&9
	wait_until 240 has '^done' /tmp/ledger.out
	stop_trace
	result $? "$text: the trace ends well"
	grep '^{' /tmp/ledger.out | jq -Mr ".states[] | $FIELDS" | sort >/tmp/truth
	jq -Mr "select(.type == \"state\" and .state > 0) | $FIELDS" /tmp/trace | sort >/tmp/seen
	[ -s /tmp/truth ] && cmp -s /tmp/truth /tmp/seen
	result $? "$text: $(wc -l </tmp/truth) states, $(awk '{ n += $2 + $3 + $4 } END { print n }' /tmp/truth) calls, agree"
	diff /tmp/truth /tmp/seen | grep '^[-+][^-+]' | head -n 8
	same "$(lost)" "{}" "$text: nothing is lost"
	echo >&9
	exec 9>&-
	wait $target
	result $? "$text: the target ends well"
}
t_books() {
	books lua5.4 "2 threads" -t 2 -s 2 -b 2 -f
	books luajit "2 threads" -t 2 -s 2 -b 2
}
t_books8() { for rt in lua5.1 lua5.4 luajit; do books $rt "8 threads" -t 8 -s 1 -b 1; done; }
t_books10() { # what goes wrong between threads mostly goes well
	for i in 1 2 3 4 5 6 7 8 9 10; do
		books lua5.4 "2 threads, run $i" -t 2 -s 2 -b 2 -f
		books lua5.4 "8 threads, run $i" -t 8 -s 1 -b 1
	done
}
t_ways() {
	for way in session multi perf; do
		if ! has_way $way; then
			skip "by $way: this kernel has no $(way_name $way)"
			continue
		fi
		export LUAMEMTRACE_ATTACH=$way
		for rt in lua5.4 luajit; do
			books $rt "by $way" -t 2 -s 2 -b 2
			same "$(way_taken)" "$(way_name $way)" "books $rt by $way: so it went"
		done
	done
	unset LUAMEMTRACE_ATTACH
}

# Thousands of errors, all caught, while every probe stands
t_errors() {
	for rt in lua5.1 lua5.4 luajit; do
		say "errors $rt"
		start_gated /tmp/errors.out $rt $LUA/errors.lua 300 gate
		start_trace -p $target -m exact
		echo >&9
		wait_until 240 has '^done' /tmp/errors.out
		stop_trace
		result $? "errors $rt: the trace ends well"
		same "$(grep caught /tmp/errors.out)" "caught 3600" "errors $rt: each is caught"
		echo >&9
		exec 9>&-
		wait $target
		result $? "errors $rt: the target ends well"
	done
}

# SIGKILL of the tracer while the probes stand
t_kill() {
	for rt in lua5.4 luajit; do
		say "kill $rt"
		start_leak $rt
		start_trace -p $target -m exact
		kill -9 $tracer
		wait $tracer 2>/dev/null
		wait_until 20 textdiff $target "$(readlink -f /proc/$target/exe)"
		result $? "kill $rt: the text is as it was"
		end_target "kill $rt"
	done
}

t_default() { # auto, which watches these in windows
	for rt in lua5.4 luajit; do
		say "default $rt"
		start_leak $rt
		start_trace -p $target $PAUSE 5
		wait_for_leak 300
		stop_trace
		result $? "default $rt: the trace ends well"
		same "$(leaks /tmp/trace)" "$LEAK " "default $rt: the leaking line and no other"
		end_target "default $rt"
	done
}

t_commands() {
	say commands
	start_leak lua5.4
	$LMT list -p $target >/tmp/out 2>&1 && grep -q 'Lua 5.4' /tmp/out
	result $? "list"
	$LMT census $PAUSE -p $target >/tmp/out 2>&1
	result $? "census"
	rm -f /tmp/r.db
	$LMT record -w /tmp/r.db -p $target -m exact -d 8 >/tmp/out 2>&1 && $LMT report /tmp/r.db >/tmp/out 2>&1 &&
		grep -q 'leak.lua' /tmp/out
	result $? "record and report"
	$LMT -a -m exact -d 6 >/tmp/out 2>&1 && grep -q 'leak.lua' /tmp/out
	result $? "-a"
	end_target commands
	$LMT -m exact -- lua5.4 $LUA/leak.lua 6 >/tmp/out 2>&1 && grep -q 'leak.lua' /tmp/out
	result $? "--"
}

caps_trace() { # text: with the three capabilities, of a process of root's; with SYS_ADMIN where the kernel wants that
	local rc
	start_leak lua5.4
	as_caps $CAPS $LMT -p $target -m exact -d 30 $PAUSE --json >/tmp/trace 2>/tmp/trace.err
	rc=$?
	grep '^luamemtrace: ' /tmp/trace.err
	if [ $rc = 77 ] && grep -q CAP_SYS_ADMIN /tmp/trace.err; then
		result 0 "$1: this kernel wants CAP_SYS_ADMIN, and that is said"
		as_caps $CAPS,+sys_admin $LMT -p $target -m exact -d 30 $PAUSE --json >/tmp/trace 2>/tmp/trace.err
		rc=$?
	fi
	result $rc "$1: the trace ends well"
	same "$(leaks /tmp/trace)" "$LEAK " "$1: the leaking line"
	end_target "$1"
}
t_caps() {
	say capabilities
	caps_trace "capabilities only"
	start_leak lua5.4
	as_caps -all $LMT -p $target -d 2 >/tmp/out 2>&1
	same $? 77 "without capabilities: 77"
	end_target "no capabilities"
}

set_sysctl() { echo "$2" 2>/dev/null >/proc/sys/$1 || echo "# no $1"; }
t_sysctl() { # the hardening knobs, all at once
	say sysctl
	set_sysctl kernel/unprivileged_bpf_disabled 2
	set_sysctl kernel/perf_event_paranoid 4
	set_sysctl kernel/kptr_restrict 2
	set_sysctl net/core/bpf_jit_harden 2
	t_line
	caps_trace "hardened, capabilities only"
}
t_scope3() { # nobody may read another process: one line, at once
	say scope3
	set_sysctl kernel/yama/ptrace_scope 3
	if [ "$(cat /proc/sys/kernel/yama/ptrace_scope 2>/dev/null)" != 3 ]; then
		skip "ptrace_scope 3: this kernel has no Yama"
		return
	fi
	start_leak lua5.4
	for mode in "-m exact" ""; do
		timeout 30 $LMT -p $target $mode -d 5 >/tmp/out 2>&1
		same $? 77 "ptrace_scope 3 ($mode): 77 at once"
		same "$(grep -c 'ptrace_scope is 3' /tmp/out)" 1 "ptrace_scope 3 ($mode): one line says so"
	done
	end_target scope3
}

# What the kernel's command line asked for must be so, or its results are of something else.
asked() { sed -n "s/.*\b$1=\([a-z]*\).*/\1/p" /proc/cmdline; }
as_asked() {
	local preempt lockdown
	preempt=$(asked preempt) lockdown=$(asked lockdown)
	if [ -n "$preempt" ] && ! grep -q "($preempt)" /sys/kernel/debug/sched/preempt; then
		skip "preempt=$preempt: this kernel has $(cat /sys/kernel/debug/sched/preempt)"
		return 1
	fi
	[ -z "$lockdown" ] || grep -q "\[$lockdown\]" /sys/kernel/security/lockdown
	result $? "preempt ${preempt:-as built}, lockdown ${lockdown:-none}: so it runs"
}
kernel_is_well() {
	dmesg | grep -E 'WARNING: |BUG: |Oops|general protection|blocked for more than' >/tmp/dmesg
	same "$(head -n 3 /tmp/dmesg)" "" "the kernel has nothing to complain of"
}

if as_asked; then
	for t in "$@"; do "t_$t"; done
	kernel_is_well
fi
echo "LMT-KERNEL-DONE $results $(uname -r)"
