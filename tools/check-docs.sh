#!/bin/sh
# Each option is in the manual; the manual names no option that there is not.
# SPDX-License-Identifier: MIT
set -eu
cd "$(dirname "$0")/.."
missing=$(
	sed -nE 's/^\t\{ [^,]*, "([a-z-]+)", OPT.*/\1/p' user/cli/options.c | sort -u | while read -r o; do
		grep -qE "Fl -$o( |\$)" docs/luamemtrace.8 || echo "docs/luamemtrace.8 lacks --$o"
	done
	grep -oE 'Fl -[a-z][a-z-]+' docs/luamemtrace.8 | cut -c5- | sort -u | while read -r o; do
		grep -q "\"$o\", OPT" user/cli/options.c || echo "docs/luamemtrace.8: there is no --$o"
	done
)
[ -z "$missing" ] && exit 0
echo "$missing"
exit 1
