#!/bin/sh
# The main job on a real example: a script that leaks at one line, under the distribution's own
# stripped interpreters, traced while it runs. Installs and builds what is needed first.
# usage: sudo tools/try.sh [SECONDS]
# SPDX-License-Identifier: MIT
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-6}
target=
trap '[ -z "$target" ] || kill "$target" 2>/dev/null' EXIT
[ "$(id -u)" = 0 ] || { echo "try.sh: needs root to place probes: sudo tools/try.sh" >&2; exit 77; }

tools/setup.sh build try
make -s -j"$(nproc)"
for lua in luajit lua5.4; do
	$lua tests/lua/leak.lua 60 >/dev/null &
	target=$!
	sleep 0.5
	printf '\n$ %s tests/lua/leak.lua &\n$ sudo luamemtrace -p %s -m exact -d %s\n' "$lua" "$target" "$seconds"
	build/luamemtrace -p "$target" -m exact -d "$seconds" -T 3
	kill "$target"
	wait "$target" 2>/dev/null || :
	target=
done
printf '\nThe leak is in %s.\n' "tests/lua/leak.lua, line $(grep -n LEAK tests/lua/leak.lua | cut -d: -f1)"
