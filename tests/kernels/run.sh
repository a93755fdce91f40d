#!/bin/bash
# Boots Debian's kernels in emulation and runs the tracer there. TAP.
# usage: run.sh [--short] [SERIES…]     BUILD: where it was built (and hosts), logs and table.md go to its kernels/
# KERNELS_DIR: what was fetched; GROUP: one boot instead of all, "NAME: TESTS PARAMETERS"
#
# What the machine that runs this has for a kernel says nothing about those of users. --short: load, the
# line, books, on the four kernels that matter most, with preemption.
# SPDX-License-Identifier: MIT
set -u
here=$(cd "$(dirname "$0")" && pwd)
build=${BUILD:-$here/../../build}
out=$build/kernels
dir=$(realpath -m "${KERNELS_DIR:-$out}")
short=
[ "${1:-}" != --short ] || { short=1; shift; }
# A group is a boot: COLUMN of the table: TESTS PARAMETERS
if [ -n "$short" ]; then
	wanted=(6.1 6.12 6.18 newest)
	groups=("short: load,line,books preempt=full")
	LEAST=3
else
	wanted=(6.1 6.12 6.16 6.17 6.18 6.19 7.0 7.1 7.2 7.3)
	groups=("main: load,exact,books,books8 preempt=full" "ten times: books10 preempt=full"
		"lazy: books,books8 preempt=lazy" "none: books,books8 preempt=none"
		"ways: ways,errors,kill preempt=full" "one CPU: books,books8 preempt=full smp=1"
		"commands: default,commands" "rights: caps,sysctl" "unreadable: scope3"
		"integrity: load,line,caps lockdown=integrity"
		"confidentiality: load,line,books,caps,commands lockdown=confidentiality")
	LEAST=1
fi
[ -z "${GROUP:-}" ] || groups=("$GROUP")
[ $# = 0 ] || { wanted=("$@"); LEAST=1; }
n=0 failed=0 booted=0
mkdir -p "$out/logs"

ok() { # status text
	n=$((n + 1))
	if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; failed=$((failed + 1)); fi
}

# results NAME LOG: the guest's lines as TAP; the number of them in $n_results
results() {
	local line
	n_results=0
	while IFS= read -r line; do
		n_results=$((n_results + 1))
		case $line in
		"RESULT ok "*) ok 0 "$1: ${line#RESULT ok }" ;;
		"RESULT skip "*) n=$((n + 1)) && echo "ok $n # skip $1: ${line#RESULT skip }" ;;
		*) ok 1 "$1: ${line#RESULT not ok }" ;;
		esac
	done < <(tr -d '\r' <"$2" | grep -a '^RESULT ')
}

# group SERIES VMLINUZ "COLUMN: TESTS PARAMETERS"
group() {
	local series=$1 image=$2 column=${3%%:*} tests params name log smp=2 before=$failed sent
	read -r tests params <<<"${3#*: }"
	[[ $params != *smp=1* ]] || smp=1
	name="$series ${params:+$params }($tests)"
	log=$out/logs/$series-${column// /-}.log
	# shellcheck disable=SC2086  # words
	SMP=$smp LIMIT=${LIMIT:-900} nice "$here/boot.sh" "$image" "$out/guest.cpio" "$log" "$tests" $params
	ok $? "$name: the guest comes to its end"
	results "$series${params:+ $params}" "$log"
	sent=$(tr -d '\r' <"$log" | sed -n 's/^LMT-KERNEL-DONE \([0-9]*\) .*/\1/p')
	[ "$n_results" -gt 0 ] && [ "$n_results" = "$sent" ]
	ok $? "$name: $n_results results have come, ${sent:-none} were sent"
	if [ "$failed" != "$before" ]; then
		echo "# the end of $log:"
		tr -d '\r' <"$log" | tail -n 40 | sed 's/^/#   /'
	fi
	cell "$log" $((failed - before))
}

# cell LOG STATUS: what the table says of a boot: the number of results that were right, and what was not
cell() {
	local right skipped
	right=$(grep -ac '^RESULT ok' "$1") skipped=$(grep -ac '^RESULT skip' "$1")
	if [ "$2" != 0 ]; then
		row+=" **FAILS** ($right right) |"
	elif [ "$right" = 0 ]; then
		row+=" – |"
	else
		row+=" $right$([ "$skipped" = 0 ] || echo " ($skipped skipped)") |"
	fi
}

"$here/initramfs.sh" "$out/guest.cpio" || { echo "Bail out! no guest could be made"; exit 1; }
{
	echo "| right on $(date +%F) |$(printf ' %s |' "${groups[@]%%:*}")"
	echo "|---|$(printf -- '---|%.0s' "${groups[@]}")"
} >"$out/table.md"
while read -r series image; do
	if [ "$image" = none ]; then
		n=$((n + 1))
		echo "ok $n # skip $series: the archive has no such kernel now, or it could not be fetched"
		continue
	fi
	booted=$((booted + 1))
	version=${image#"$dir"/x/}
	row="| ${version%%-cloud*} |"
	for g in "${groups[@]}"; do group "$series" "$image" "$g"; done
	echo "$row" >>"$out/table.md"
done < <("$here/get.sh" "$dir" "${wanted[@]}" | sort -uV)
[ "$booted" -ge "$LEAST" ]
ok $? "$booted kernels were in reach, $LEAST are the least"
echo "1..$n"
[ "$failed" = 0 ]
