#!/bin/bash
# Runs integration scripts: two at a time, then those one at a time that say "# alone: why" in their
# head, then what failed once more, alone: their targets run in real time, beside whatever else the
# machine does. What fails twice fails; so does a run in which more than one script in fifty passed
# only when run again. usage: run.sh SCRIPT...
# SPDX-License-Identifier: MIT
set -u
STATE=$BUILD/tests/integration.state
LIMIT='timeout -k 10 900 bash' # of one script: what hangs fails
MOST_AGAIN=5 # more than these are not the machine's fault
ONE_IN=50    # scripts may pass only when run again

run() { # shellcheck disable=SC2086
	prove --exec "$LIMIT" --timer --failures --comments --statefile="$STATE" ${PROVEFLAGS:-} "$@"
}

mapfile -t alone < <(grep -l '^# alone: ' "$@")
mapfile -t together < <(grep -L '^# alone: ' "$@")
mkdir -p "${STATE%/*}"
rm -f "$STATE"
failed=0
[ ${#together[@]} -eq 0 ] || run -j2 --state=save "${together[@]}" || failed=1
[ ${#alone[@]} -eq 0 ] || run --state=save "${alone[@]}" || failed=1
[ "$failed" = 1 ] || exit 0

mapfile -t again < <(prove --state=failed --statefile="$STATE" --dry)
[ ${#again[@]} -le "$MOST_AGAIN" ] || exit 1
echo "== again, alone: ${again[*]}"
run "${again[@]}" || exit 1
echo "== ${#again[@]} OF $# SCRIPTS PASSED ONLY WHEN RUN AGAIN, ALONE: ${again[*]}"
[ $((${#again[@]} * ONE_IN)) -le $# ] || exit 1
