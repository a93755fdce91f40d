#!/bin/bash
# Every answer of the resolver on stripped programs is right: held against their symbol tables.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"

# The distribution's static libraries, linked in ways that change what the resolver can see. The
# whole table, over all versions and compilers, is docs/CORPUS.md.
RESOLVER=$BUILD/tests/tools/resolve_file
make -s -C "$ROOT" B="$BUILD" "$RESOLVER" >"$TMP/make.log" 2>&1 ||
	skip_all "the resolver's tool does not build: $(tail -n 1 "$TMP/make.log")"
LIBS=$(gcc -print-file-name=libc.a)
LIBS=${LIBS%/*}

link() { # runtime name flags…
	local rt=$1 name=$2 archive=$LIBS/lib$1.a
	shift 2
	[ "$rt" = luajit ] && archive=$LIBS/libluajit-5.1.a
	# shellcheck disable=SC2046  # several flags
	gcc -O2 -w -pthread $(pkg-config --cflags "$rt") "$@" -o "$TMP/bin/$rt-$name" \
		"$ROOT/tests/hosts/ledger.c" "$archive" -ldl -lm 2>>"$TMP/link.log"
}

mkdir "$TMP/bin"
for rt in $RUNTIMES; do
	link "$rt" pie
	link "$rt" static -static -no-pie
	link "$rt" cet -fcf-protection -fno-omit-frame-pointer -no-pie
done
n=$(find "$TMP/bin" -type f | wc -l)
is "$n" 15 "fifteen programs build"
"$ROOT/tools/corpus.py" --resolver "$RESOLVER" "$TMP/bin" >"$TMP/table" 2>"$TMP/bad"
is "$?" 0 "no answer is wrong"
sed 's/^/# /' "$TMP/table"
is "$(grep -v ' sweeplist ' "$TMP/bad")" "" "nothing that exists out of line is missing"
like "$(tail -n 1 "$TMP/table")" " 0 wrong" "the table says so"

# Libraries that are not Lua, many of which use it, are never taken for it.
find "$LIBS" -maxdepth 1 -name 'lib*.so.*' -type f ! -name 'liblua5*' ! -name 'libluajit*' \
	! -name '*texlua*' -size -6M | head -n 60 >"$TMP/others"
# shellcheck disable=SC2046  # file names without spaces
is "$("$RESOLVER" $(cat "$TMP/others") 2>/dev/null | grep -cv 'no Lua$')" 0 \
	"$(wc -l <"$TMP/others") other libraries hold no Lua"

# Symbols kept apart from the program.
cp "$TMP/bin/lua5.4-pie" "$TMP/x"
mkdir "$TMP/.debug"
objcopy --only-keep-debug "$TMP/x" "$TMP/.debug/x.debug"
strip "$TMP/x"
(cd "$TMP/.debug" && objcopy --add-gnu-debuglink=x.debug ../x)
like "$("$RESOLVER" "$TMP/x")" "luaC_step.*debuglink" "symbols by debuglink"
cp "$TMP/x" "$TMP/y"
strip --remove-section=.gnu_debuglink "$TMP/y"
objcopy -S "$TMP/bin/lua5.4-pie" --keep-symbol=luaC_step "$TMP/mini"
xz -k "$TMP/mini"
objcopy --add-section .gnu_debugdata="$TMP/mini.xz" "$TMP/y"
like "$("$RESOLVER" "$TMP/y")" "luaC_step.*debugdata" "symbols in .gnu_debugdata"
# By build id: there is one place for those, the system's, so the file is put there for a moment.
# shellcheck disable=SC2046 # words
gcc -O2 -w -pthread $(pkg-config --cflags lua5.4) -Wl,--build-id -o "$TMP/b" \
	"$ROOT/tests/hosts/ledger.c" "$LIBS/liblua5.4.a" -ldl -lm
id=$(readelf -n "$TMP/b" | awk '/Build ID/ { print $3 }')
by_id=/usr/lib/debug/.build-id/${id:0:2}
if [ -n "$id" ] && mkdir -p "$by_id" 2>/dev/null && [ ! -e "$by_id/${id:2}.debug" ]; then
	objcopy --only-keep-debug "$TMP/b" "$by_id/${id:2}.debug"
	strip "$TMP/b"
	like "$("$RESOLVER" "$TMP/b")" "luaC_step.*debug-file" "symbols by build id"
	rm -f "$by_id/${id:2}.debug"
	rmdir "$by_id" 2>/dev/null
	like "$("$RESOLVER" "$TMP/b")" "luaC_step.*called when the debt" "without them by shape"
else
	skip "cannot write below /usr/lib/debug" "symbols by build id"
	skip "cannot write below /usr/lib/debug" "without them by shape"
fi
cp "$TMP/bin/lua5.4-static" "$TMP/z"
strip "$TMP/z"
objcopy --only-keep-debug "$TMP/bin/lua5.4-cet" "$TMP/.debug/z.debug"
(cd "$TMP/.debug" && objcopy --add-gnu-debuglink=z.debug ../z)
like "$("$RESOLVER" "$TMP/z")" "luaC_step.*called when the debt" "symbols of another build do not count"
done_testing
