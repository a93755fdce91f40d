#!/bin/bash
# Instructions of each BPF program and subprogram, against a stored baseline. Needs no privilege.
# SPDX-License-Identifier: MIT
#
# usage: tools/bpf-insns.sh DIR [--update]      DIR: where `make` builds, e.g. build
#
# Fails when one grew by more than a tenth: each instruction on the allocation path is paid for by
# the target, millions of times. If the growth is worth it, --update and say why in the commit.
# Counts depend on the compiler, so the baseline names its own; another one only shows its counts.
set -u
LC_ALL=C
cd "$(dirname "$0")/.." || exit 2
dir=${1:?usage: $0 DIR [--update]}
baseline=tests/bpf/insns.tsv
object=$dir/bpf/luamemtrace.o
PERCENT=10

[ -r "$object" ] || { echo "$0: no '$object'; run make first" >&2; exit 2; }
compiler=$("${CLANG:-clang}" --version | sed -nE 's/.*clang version ([0-9]+).*/clang \1/p;T;q')

# An instruction is 8 bytes; one that loads 64 bits counts as two, as for the kernel.
# (readelf warns of the order in which bpftool's linker writes symbols.)
counts=$(readelf -sW "$object" 2>/dev/null |
	awk '$4 == "FUNC" && $7 != "UND" { print $8 "\t" $3 / 8 }' | sort)
[ -n "$counts" ] || { echo "$0: no functions in '$object'" >&2; exit 2; }

if [ "${2:-}" = --update ]; then
	{
		echo "# instructions of the BPF functions; made by tools/bpf-insns.sh DIR --update"
		echo "# $compiler"
		printf '%s\n' "$counts"
	} >"$baseline"
	exit
fi

known=$(sed -n '2s/^# //p' "$baseline" 2>/dev/null)
if [ "$compiler" != "$known" ]; then
	echo "# BPF instruction counts are not compared: $compiler here, the baseline is of ${known:-nobody}"
	known=
fi
printf '%s\n' "$counts" | awk -F '\t' -v limit=$PERCENT -v compare="$known" '
	FNR == NR { if ($0 !~ /^#/) base[$1] = $2; next }
	{
		sum += $2
		note = ""
		if (compare != "" && !($1 in base)) {
			note = "new: not in the baseline"
			bad = 1
		} else if (compare != "" && $2 * 100 > base[$1] * (100 + limit)) {
			note = sprintf("grew by %.0f %%, at most %d", $2 * 100 / base[$1] - 100, limit)
			bad = 1
		} else if (compare != "" && $2 != base[$1]) {
			note = sprintf("was %d", base[$1])
		}
		printf "#  %-16s %6d  %s\n", $1, $2, note
		seen[$1] = 1
	}
	END {
		printf "#  %-16s %6d\n", "all", sum
		for (name in base)
			if (compare != "" && !(name in seen))
				printf "#  %-16s      -  gone; update the baseline\n", name
		if (bad)
			print "BPF programs grew: shorten them, or tools/bpf-insns.sh DIR --update"
		exit bad
	}' "$baseline" -
