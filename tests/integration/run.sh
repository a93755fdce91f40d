#!/bin/bash
# Runs integration scripts: those before "--" two at a time, those after it one at a time, then what
# failed once more, alone: their targets run in real time, beside whatever else the machine does.
# What fails twice fails; what failed once is said. usage: run.sh SCRIPT... -- SCRIPT...
# SPDX-License-Identifier: MIT
set -u
STATE=$BUILD/tests/integration.state
LIMIT='timeout -k 10 900 bash' # of one script: what hangs fails
MOST_AGAIN=5 # more than these are not the machine's fault

run() { # shellcheck disable=SC2086
	prove --exec "$LIMIT" --timer --failures --comments --statefile="$STATE" ${PROVEFLAGS:-} "$@"
}

together=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
	together+=("$1")
	shift
done
shift
mkdir -p "${STATE%/*}"
rm -f "$STATE"
failed=0
run -j2 --state=save "${together[@]}" || failed=1
[ $# -eq 0 ] || run --state=save "$@" || failed=1
[ "$failed" = 1 ] || exit 0

mapfile -t again < <(prove --state=failed --statefile="$STATE" --dry)
[ ${#again[@]} -le "$MOST_AGAIN" ] || exit 1
echo "== again, alone: ${again[*]}"
run "${again[@]}" || exit 1
echo "== PASSED ONLY WHEN RUN AGAIN, ALONE: ${again[*]}"
