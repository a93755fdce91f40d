#!/bin/bash
# All benchmarks: ratios first, from columns that alternate in one process. Tables in build/bench-*.tsv.
# usage: run.sh [REPETITIONS [SECONDS]]     (default: 1 2)
# MINUTES (20): rows that would begin later are left out. PARTS: only these of scripts, servers, scale, detectors.
# What is compared with is fetched by peers.sh once; without it those columns say "-".
# SPDX-License-Identifier: MIT
set -u
here=$(dirname "$0")
[ "$(id -u)" = 0 ] || { echo "make bench: needs root to place probes" >&2; exit 77; }
BENCH_END=$(($(date +%s) + ${MINUTES:-20} * 60))
export BENCH_END
[ -d "$here/../../build/peers" ] || timeout 180 "$here/peers.sh"
for part in ${PARTS:-scripts servers scale detectors}; do
	echo "== $part"
	"$here/$part.sh" "${1:-1}" "${2:-2}"
done
