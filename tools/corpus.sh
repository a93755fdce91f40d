#!/bin/bash
# Builds a corpus of Lua binaries with known symbols and holds the resolver against it.
# SPDX-License-Identifier: MIT
#
# usage: corpus.sh get DIR      sources of the distribution's Lua packages (apt-get source)
#        corpus.sh build DIR [GLOB]  each tree in DIR/src in every flavour, into DIR/bin
#        corpus.sh check DIR    stripped twins through the resolver: right, wrong, missing
#
# A tree is any Lua or LuaJIT source unpacked in DIR/src. Every program is tests/hosts/ledger.c
# linked with that Lua, so it can be traced and compared with its own books too.
set -u
ROOT=$(cd "$(dirname "$0")/.." && pwd)
HOST=$ROOT/tests/hosts/ledger.c

die() { echo "corpus: $*" >&2; exit 2; }

get() {
	mkdir -p "$1/src"
	cd "$1/src" || exit 1
	for p in lua5.1 lua5.2 lua5.3 lua5.4 luajit luajit2; do
		apt-get source -qq "$p" >/dev/null || echo "corpus: no source of $p" >&2
	done
}

# name | compiler | flags | link flags
PUC_FLAVOURS='
O2|gcc|-O2|
O3|gcc|-O3|
O1|gcc|-O1|
O0|gcc|-O0|
Os|gcc|-Os|
clang|clang|-O2|
clang3|clang|-O3|
lto|gcc|-O2 -flto|-O2 -flto
static|gcc|-O2 -fno-pie|-static -no-pie
fpcet|gcc|-O2 -fno-omit-frame-pointer -fcf-protection -fno-pie|-no-pie
check|gcc|-O2 -DLUA_USE_APICHECK -Dlua_assert=assert -include assert.h|
cxx|g++|-O2|
'
LUAJIT_FLAVOURS='
O2|gcc||all
amalg|gcc||amalg
gc32|gcc|-DLUAJIT_DISABLE_GC64|all
clang|clang||all
clangamalg|clang||amalg
O3|gcc|-O3|all
Os|gcc|-Os|all
fpcet|gcc|-fno-omit-frame-pointer -fcf-protection|all
check|gcc|-DLUA_USE_APICHECK -DLUA_USE_ASSERT|all
nojit|gcc|-DLUAJIT_DISABLE_JIT|all
sysmalloc|gcc|-DLUAJIT_USE_SYSMALLOC|all
'

build_puc() { # tree flavour-name compiler flags link-flags
	local src=$1 out tmp
	out=$DIR/bin/$(basename "$1")-$2
	[ -d "$src/src" ] && src=$src/src
	tmp=$(mktemp -d)
	(
		cd "$tmp" || exit 1
		for f in "$src"/l*.c; do
			case $(basename "$f") in
			lua.c | luac.c | ltests.c | lbitlib.c) ;;
			*) printf '%s\n' "$f" ;;
			esac
		done >list
		[ -e "$src/lbitlib.c" ] && echo "$src/lbitlib.c" >>list
		# shellcheck disable=SC2086
		while read -r f; do
			$3 $4 -w -fpermissive -DLUA_USE_POSIX -DLUA_USE_DLOPEN -DLUA_COMPAT_5_3 \
				-I"$src" -c "$f" || exit 1
		done <list 2>log
		# shellcheck disable=SC2086
		$3 $4 -w -fpermissive -I"$src" -pthread -o out "$HOST" ./*.o $5 -ldl -lm 2>>log &&
			mv out "$out"
	) || { echo "corpus: $(basename "$out") does not build: $(grep -m1 error "$tmp/log")" >&2; }
	rm -rf "$tmp"
}

build_luajit() { # tree flavour-name compiler xcflags target
	local tmp out opt=-O2 x=$4
	out=$DIR/bin/$(basename "$1")-$2
	case $x in -O3 | -Os) opt=$x x= ;; esac
	tmp=$(mktemp -d)
	cp -r "$1/." "$tmp"
	if make -C "$tmp/src" "$5" BUILDMODE=static CC="$3" HOST_CC=gcc CCOPT="$opt -fomit-frame-pointer" \
		XCFLAGS="$x" TARGET_STRIP=@: >"$tmp/log" 2>&1 &&
		"$3" "$opt" -w -I"$tmp/src" -pthread -o "$tmp/out" "$HOST" "$tmp/src/libluajit.a" \
			-ldl -lm >>"$tmp/log" 2>&1; then
		mv "$tmp/out" "$out"
	else
		echo "corpus: $(basename "$out") does not build: $(grep -m1 rror "$tmp/log")" >&2
	fi
	rm -rf "$tmp"
}

build() {
	mkdir -p "$DIR/bin"
	for tree in "$DIR"/src/${GLOB:-*}/; do
		tree=${tree%/}
		kind=puc list=$PUC_FLAVOURS
		[ -e "$tree/src/lj_obj.h" ] && kind=luajit list=$LUAJIT_FLAVOURS
		while IFS='|' read -r name cc flags rest; do
			[ -n "$name" ] || continue
			[ -e "$DIR/bin/$(basename "$tree")-$name" ] && continue
			case " ${FLAVOURS:-$name} " in *" $name "*) ;; *) continue ;; esac
			"build_$kind" "$tree" "$name" "$cc" "$flags" "$rest"
		done <<<"$list"
	done
}

[ $# -ge 2 ] || die "usage: corpus.sh get|build|check DIR [GLOB]"
DIR=$(realpath -m "$2")
GLOB=${3:-}
case $1 in
get) get "$DIR" ;;
build) build ;;
check) exec "$ROOT/tools/corpus.py" "$DIR/bin" ;;
*) die "no command '$1'" ;;
esac
