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
	BUILD=$2 KERNELS_DIR=$dir/kernels tests/kernels/run.sh --short $OLD_KERNEL >"$work/$1-old.log" 2>&1
	ok $? "$1: load, line and books on $OLD_KERNEL"
	grep '^not ok' "$work/$1-old.log" | sed 's/^/# /'
}

for clang in clang-14 clang-15 clang-16 clang-17; do
	if command -v "$clang" >/dev/null; then
		make -s -j"$(nproc)" B="$work/$clang" CLANG="$clang" all >"$work/$clang-make.log" 2>&1
		ok $? "$clang: builds"
		try "$clang" "$work/$clang"
	else
		skip "$clang is not installed (tools/setup.sh compilers)"
	fi
done

# The next release in a folder of its own: its clang for the objects, its whole tool chain for the rest.
root=$work/$suite
packages=$(sed -n '/^build="/,/"$/p' tools/setup.sh | tr '"\n\t' '   ' | sed 's/build= *//')
# shellcheck disable=SC2016  # apt's own placeholder
mirror=$(apt-get indextargets --format '$(REPO_URI)' | sort -u | grep -m1 '/debian/\?$')
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
	clang=$suite-clang-$(chroot "$root" clang --version | sed -nE '1s/.*version ([0-9]+).*/\1/p')
	chroot "$root" sh -c "cd /src && make -s -j$(nproc) all" >"$work/$suite-make.log" 2>&1
	ok $? "$suite: the whole program builds"
	chroot "$root" sh -c 'cd /src && make -s check' >"$work/$suite-check.log" 2>&1
	ok $? "$suite: unit tests pass"
	grep -E '^not ok|Failed' "$work/$suite-check.log" | sed 's/^/# /' | head
	# Its object in a program that runs here.
	make -s -j"$(nproc)" B="$work/$clang" all >"$work/$clang-make.log" 2>&1
	cp "$root/src/build/bpf/luamemtrace.o" "$work/$clang/bpf/luamemtrace.o"
	make -s -j"$(nproc)" B="$work/$clang" all >>"$work/$clang-make.log" 2>&1
	ok $? "$clang: its object goes into the program"
	try "$clang" "$work/$clang"
fi
echo "1..$n"
[ "$failed" = 0 ]
