#!/bin/bash
# The static binary traces in an empty root: no library, no /etc, nothing but /proc, /sys and itself.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

make -s -C "$ROOT" B="$BUILD" static >"$TMP/make" 2>&1 ||
	skip_all "no static binary: $(grep -m1 'apt-get' "$TMP/make" || tail -n 1 "$TMP/make")"
static=$BUILD/static/luamemtrace
is "$(readelf -d "$static" | grep -c NEEDED)" 0 "no shared library is needed"
is "$(readelf -lW "$static" | grep -c INTERP)" 0 "no dynamic loader either"
like "$(readelf -dW "$static")" 'NOW PIE' "bound at the start, at a random address"

root=$TMP/root
mkdir -p "$root/proc" "$root/sys"
cp "$static" "$root/luamemtrace"
mount --bind /proc "$root/proc" && mount --rbind /sys "$root/sys" && mount --make-rslave "$root/sys"
trap 'umount -R "$root/sys"; umount "$root/proc"; cleanup' EXIT
printf '#!/bin/sh\nexec chroot "%s" /luamemtrace "$@"\n' "$root" >"$TMP/chrooted"
chmod +x "$TMP/chrooted"
TRACER=$TMP/chrooted

FIELDS='[(.L), (.allocs), (.frees), (.reallocs), (.alloc_bytes), (.live_bytes), (.live_blocks)] | map(tostring) | join(" ")'
for rt in lua5.1 lua5.4 luajit; do
	start_gated "$rt" "$HOSTS/ledger-$rt" "$ROOT/tests/lua/mix.lua"
	start_trace "$rt" -p "$target" -m exact --json
	open_gate
	wait_for 120 has_line '^done$' "$TMP/$rt.out"
	stop_trace
	is "$status" 0 "$rt: ends with status 0"
	grep '^{' "$TMP/$rt.out" | jq -r ".states[] | $FIELDS" | sort >"$TMP/$rt.truth"
	jq -r "select(.type == \"state\" and .state > 0) | $FIELDS" "$TMP/$rt.trace" | sort >"$TMP/$rt.seen"
	is "$(diff "$TMP/$rt.truth" "$TMP/$rt.seen" | head -8)" "" "$rt: the books agree"
	open_gate
	wait "$target"
	is $? 0 "$rt: target ends with status 0"
done
done_testing
