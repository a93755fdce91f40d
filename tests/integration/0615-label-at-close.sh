#!/bin/bash
# A state that lives for a millisecond is named all the same: what its program calls it is read when it is closed.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/find.sh"
need_root

n=20
run short -- "$HOSTS/skynet_short" "$n"
want=$(for ((i = 1; i <= n; i++)); do printf 'service short%d :%08x\n' "$i" $((0x100 + i)); done | sort)
is "$(jq -r 'select(.kind == "outlived-close") | .evidence.label' "$TMP/short.find" | sort -u)" "$want" \
	"each block that outlived its state tells the service and its handle"
is "$(jq -r 'select(.type == "state" and .closed) | .label' "$TMP/short.trace" | sort -u)" "$want" \
	"and so does each state"
cp "$HOSTS/skynet_short" "$TMP/services"
run other -- "$TMP/services" 3
is "$(jq -r 'select(.type == "state" and .closed) | .label' "$TMP/other.trace" | sort -u)" null \
	"another program's global of that name is no label"
done_testing
