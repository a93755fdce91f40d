#!/bin/sh
# Installs what is needed on Debian or Ubuntu. usage: setup.sh build|try|test|static|compilers…  (test includes the first two)
# SPDX-License-Identifier: MIT
set -eu
build="gcc libc6-dev make clang bpftool libbpf-dev libelf-dev libdw-dev libzydis-dev zlib1g-dev
	liblzma-dev libsqlite3-dev linux-libc-dev"
static="libcapstone-dev libbz2-dev libzstd-dev"
try="luajit lua5.4"
test="lua5.1 lua5.2 lua5.3 liblua5.1-0-dev liblua5.2-dev liblua5.3-dev liblua5.4-dev
	libluajit-5.1-dev libcmocka-dev pkg-config perl python3 jq sqlite3 libxml2-utils xz-utils shellcheck mandoc git bsdextrautils
	procps strace util-linux binutils libbpfcc-dev qemu-system-x86 busybox-static"
compilers="clang-15 clang-16 debootstrap"

packages=$build
for what in "$@"; do
	case $what in
	build) ;;
	try) packages="$packages $try" ;;
	test) packages="$packages $try $test $static" ;;
	static) packages="$packages $static" ;;
	compilers) packages="$packages $compilers" ;;
	*) echo "usage: setup.sh build|try|test|static|compilers" >&2; exit 2 ;;
	esac
done
if ! command -v apt-get >/dev/null; then
	echo "setup.sh: no apt-get here; install by hand what 'make' names" >&2
	exit 0
fi
missing=
for p in $packages; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
	echo "setup.sh: run as root, or first: apt-get install$missing" >&2
	exit 77
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q >/dev/null || echo "setup.sh: apt-get update failed, going on with what is known" >&2
# shellcheck disable=SC2086  # a list of words
apt-get install -q -y --no-install-recommends $missing >/dev/null
