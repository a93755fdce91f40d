#!/bin/sh
# Each option is in the manual; the manual names no option that there is not.
# SPDX-License-Identifier: MIT
set -eu
cd "$(dirname "$0")/.."
bad=0
for o in $(sed -nE 's/^\t\{ [^,]*, "([a-z-]+)", OPT.*/\1/p' user/cli/options.c | sort -u); do
	grep -qE "Fl -$o( |\$)" docs/luamemtrace.8 || { echo "docs/luamemtrace.8 lacks --$o"; bad=1; }
done
for o in $(grep -oE 'Fl -[a-z][a-z-]+' docs/luamemtrace.8 | cut -c5- | sort -u); do
	grep -q "\"$o\", OPT" user/cli/options.c || { echo "docs/luamemtrace.8: there is no --$o"; bad=1; }
done
exit $bad
