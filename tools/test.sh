#!/bin/sh
# Installs what is needed, builds, runs every check. usage: sudo tools/test.sh
# SPDX-License-Identifier: MIT
set -eu
cd "$(dirname "$0")/.."
tools/setup.sh test
make -j"$(nproc)" all hosts
make lint
make check
if [ "$(id -u)" = 0 ]; then
	make check-integration
	make check-kernels SHORT=1
else
	echo "test.sh: not root: the tests on real processes were NOT run" >&2
fi
