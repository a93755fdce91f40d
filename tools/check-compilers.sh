#!/bin/bash
# Objects by each clang in reach load on the running kernel and on an old one in emulation; the whole program
# builds and passes its unit tests on the next Debian's tool chain. TAP. Needs root and the archive.
# usage: check-compilers.sh DIR [SUITE]     DIR: where `make` builds; SUITE: trixie
# SPDX-License-Identifier: MIT
set -u
cd "$(dirname "$0")/.." || exit 2
dir=$(realpath "${1:?usage: $0 DIR [SUITE]}") suite=${2:-trixie}
work=$dir/compilers n=0 failed=0
OLD_KERNEL=6.1
mkdir -p "$work"

ok() { # status text
	n=$((n + 1))
	if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; failed=$((failed + 1)); fi
}
skip() { n=$((n + 1)) && echo "ok $n # skip $1"; }

# try NAME BUILD-DIR: the programs of that build, here and on an old kernel
try() {
	tools/bpf-stack.py "$2/bpf/luamemtrace.o" >"$work/$1.log" 2>&1
	ok $? "$1: the stack is within its bounds"
	"$2/luamemtrace" doctor -v >>"$work/$1.log" 2>&1
	ok $? "$1: doctor finds a way here"
	[ "$(grep -c 'our programs load and attach' "$work/$1.log")" -ge 2 ]
	ok $? "$1: our programs load and attach here"
	ln -sfn "$dir/hosts" "$2/hosts"
	GROUP="old: load,line" BUILD=$2 KERNELS_DIR=$dir/kernels tests/kernels/run.sh $OLD_KERNEL >"$work/$1-old.log" 2>&1
	ok $? "$1: loads on $OLD_KERNEL and names the line"
	grep '^not ok' "$work/$1-old.log" | sed 's/^/# /'
}

# Each from 14 on that is installed or in the archive.
tools/archive.sh "$work" || echo "# the archive cannot be reached: only what is here is tried"
versions=$({ APT_CONFIG=$work/apt.conf apt-cache pkgnames clang- 2>/dev/null | sed -nE 's/^clang-([0-9]+)$/\1/p'
	printf '%s\n' 14 15 16 17 18 19; } | sort -un | awk '$1 >= 14')
for version in $versions; do
	clang=$(command -v "clang-$version" || tools/get-clang.sh "$work" "$version" 2>"$work/clang-$version-get.log")
	if [ -z "$clang" ]; then
		skip "clang-$version: not installed, and $(tail -n 1 "$work/clang-$version-get.log")"
		continue
	fi
	make -s -j"$(nproc)" B="$work/by-clang-$version" CLANG="$clang" all >"$work/clang-$version-make.log" 2>&1
	ok $? "clang-$version: builds"
	try "clang-$version" "$work/by-clang-$version"
done

# The next release in a folder of its own: its clang for the objects, its whole tool chain for the rest.
root=$work/$suite
packages=$(sed -n '/^build="/,/"$/p' tools/setup.sh | tr '"\n\t' '   ' | sed 's/build= *//')
# shellcheck disable=SC2016  # apt's own placeholder
mirror=$(apt-get indextargets --format '$(REPO_URI)' | sort -u | grep -m1 '/debian/\?$')
# inside COMMAND: in its copy of the sources, with a /proc, which tests read, that goes with the command
inside() {
	# shellcheck disable=SC2016  # of the inner shells
	unshare -m sh -c 'mount -t proc proc "$1/proc" && exec chroot "$1" sh -c "cd /src && $2"' sh "$root" "$1"
}
if [ ! -e "$root/done" ] && command -v debootstrap >/dev/null; then
	debootstrap --variant=minbase --include="$(echo "$packages" libcmocka-dev pkg-config perl python3 jq sqlite3 \
		libxml2-utils xz-utils git bsdextrautils procps binutils file luajit lua5.4 | tr -s ' ' ',')" \
		"$suite" "$root" "$mirror" >"$work/$suite.log" 2>&1 && touch "$root/done"
fi
if [ ! -e "$root/done" ]; then
	skip "$suite: could not be fetched (debootstrap, the archive; see $work/$suite.log)"
else
	rm -rf "$root/src"
	mkdir "$root/src"
	git ls-files -z | xargs -0 cp --parents -t "$root/src"
	inside "make -s -j$(nproc) all" >"$work/$suite-make.log" 2>&1
	ok $? "$suite: the whole program builds"
	inside 'make -s check' >"$work/$suite-check.log" 2>&1
	ok $? "$suite: unit tests pass"
	grep -E '^not ok|Failed' "$work/$suite-check.log" | sed 's/^/# /' | head
	# Its object, made with its libbpf and bpftool, in a program that runs here.
	make -s -j"$(nproc)" B="$work/by-$suite" all >"$work/by-$suite-make.log" 2>&1
	cp "$root/src/build/bpf/luamemtrace.o" "$work/by-$suite/bpf/luamemtrace.o"
	make -s -j"$(nproc)" B="$work/by-$suite" all >>"$work/by-$suite-make.log" 2>&1
	ok $? "$suite: its object goes into the program"
	try "$suite" "$work/by-$suite"
fi
echo "1..$n"
[ "$failed" = 0 ]
