#!/bin/bash
# All benchmarks: ratios first, from columns that alternate in one process. Tables in build/bench-*.tsv.
# usage: run.sh [REPETITIONS [SECONDS]]
# What is compared with is fetched by peers.sh; without it those columns say "-".
# SPDX-License-Identifier: MIT
set -u
here=$(dirname "$0")
[ "$(id -u)" = 0 ] || { echo "make bench: needs root to place probes" >&2; exit 77; }
for part in scripts servers; do
	echo "== $part"
	"$here/$part.sh" "$@"
done
