#!/bin/bash
# Makes the guest: busybox, the tracer, Debian's interpreters, the hosts that keep books, the tests.
# usage: initramfs.sh OUT.cpio      BUILD: where the tracer was built
# SPDX-License-Identifier: MIT
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tree=$(cd "$here/../.." && pwd)
build=${BUILD:-$tree/build}
out=$(realpath -m "$1")
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

# add PATH [AS]: a file and the libraries that it is linked with, each at its own path
add() {
	local from=$1 as=${2:-$1} lib
	mkdir -p "$root$(dirname "$as")"
	cp -L "$from" "$root$as"
	{ ldd "$from" 2>/dev/null || :; } | grep -o '/[^ ]*' | while read -r lib; do
		[ -e "$root$lib" ] || { mkdir -p "$root$(dirname "$lib")"; cp -L "$lib" "$root$lib"; }
	done
}

chmod 755 "$root"
mkdir -p "$root"/{bin,dev,proc,sys,tmp,run,etc,root,lmt}
cp "$(command -v busybox)" "$root/bin/busybox" # of busybox-static
busybox --list | grep -vxE 'busybox|setpriv' | while read -r name; do ln -sf busybox "$root/bin/$name"; done
ln -s bin "$root/sbin"
add "$(command -v setpriv)" /usr/bin/setpriv
add "$(command -v jq)" /usr/bin/jq
for rt in lua5.1 lua5.4 luajit; do
	add "$(readlink -f "$(command -v $rt)")" /usr/bin/$rt
	add "$build/hosts/ledger-$rt" "/lmt/ledger-$rt"
done
add "$build/luamemtrace" /usr/bin/luamemtrace
cp -r "$tree/tests/lua" "$root/lmt/lua"
cc -O2 -static -o "$root/bin/textdiff" "$here/guest/textdiff.c"
install -m 755 "$here/guest/init" "$root/init"
cp "$here/guest/tests.sh" "$root/lmt/tests.sh"
echo 'root:x:0:0::/root:/bin/sh' >"$root/etc/passwd"
echo 'user:x:1000:1000::/tmp:/bin/sh' >>"$root/etc/passwd"
(cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null) >"$out.new"
mv "$out.new" "$out"
