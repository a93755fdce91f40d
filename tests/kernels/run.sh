#!/bin/bash
# Boots Debian's kernels in emulation and runs the tracer there. TAP.
# usage: run.sh [--short] [SERIES…]     BUILD: where it was built (and hosts); KERNELS_DIR: what was fetched
#
# What the machine that runs this has for a kernel says nothing about those of users. --short: load, the
# line, books, on the four kernels that matter most, with preemption.
# SPDX-License-Identifier: MIT
set -u
here=$(cd "$(dirname "$0")" && pwd)
build=${BUILD:-$here/../../build}
dir=${KERNELS_DIR:-$build/kernels}
short=
[ "${1:-}" != --short ] || { short=1; shift; }
if [ -n "$short" ]; then
	wanted=(6.1 6.12 6.18 newest)
	groups=("load,line,books preempt=full")
	LEAST=3
else
	wanted=(6.1 6.12 6.16 6.17 6.18 6.19 7.0 7.1 7.2 7.3)
	groups=("load,exact,books,books8 preempt=full" "books10 preempt=full" "books,books8 preempt=lazy"
		"books,books8 preempt=none" "ways,errors,kill preempt=full" "books,books8 preempt=full smp=1"
		"default,commands" "caps,sysctl" "scope3" "load,line,caps lockdown=integrity"
		"load,line,caps,commands lockdown=confidentiality")
	LEAST=1
fi
[ $# = 0 ] || { wanted=("$@"); LEAST=1; }
n=0 failed=0 booted=0
mkdir -p "$dir/logs"

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

# group SERIES VMLINUZ "TESTS PARAMETER…"
group() {
	local series=$1 image=$2 tests params name log smp=2 before=$failed
	read -r tests params <<<"$3"
	[[ $params != *smp=1* ]] || smp=1
	name="$series ${params:+$params }($tests)"
	log=$dir/logs/$series-${3//[ ,]/_}.log
	# shellcheck disable=SC2086  # words
	SMP=$smp LIMIT=${LIMIT:-900} nice "$here/boot.sh" "$image" "$dir/guest.cpio" "$log" "$tests" $params
	ok $? "$name: the guest comes to its end"
	results "$series ${params:+$params}" "$log"
	[ "$n_results" -gt 0 ]
	ok $? "$name: says what it has seen"
	if [ "$failed" != "$before" ]; then
		echo "# the end of $log:"
		tr -d '\r' <"$log" | tail -n 40 | sed 's/^/#   /'
	fi
	printf '| %s | %s | %s | %s |\n' "$(tr -d '\r' <"$log" | sed -n 's/^LMT-KERNEL-DONE //p')" "$tests" "$params" \
		"$(tr -d '\r' <"$log" | grep -ac '^RESULT ok') of $n_results" >>"$dir/table.md"
}

"$here/initramfs.sh" "$dir/guest.cpio" || { echo "Bail out! no guest could be made"; exit 1; }
printf '| kernel | tests | parameters | right, %s |\n|---|---|---|---|\n' "$(date +%F)" >"$dir/table.md"
while read -r series image; do
	if [ "$image" = none ]; then
		n=$((n + 1))
		echo "ok $n # skip $series: the archive has no such kernel now, or it could not be fetched"
		continue
	fi
	booted=$((booted + 1))
	for g in "${groups[@]}"; do group "$series" "$image" "$g"; done
done < <("$here/get.sh" "$dir" "${wanted[@]}" | sort -uV)
[ "$booted" -ge "$LEAST" ]
ok $? "$booted kernels were in reach, $LEAST are the least"
echo "1..$n"
[ "$failed" = 0 ]
