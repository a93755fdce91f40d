#!/bin/bash
# Makes a root for a Lua program whose files have names that lead out of it. usage: jail.sh DIR
# SPDX-License-Identifier: MIT
#
# DIR/jail     the root: /DIR/lua (the interpreter, with a debug link and a build id), what it needs, /proc
# DIR/outside  what nobody in there can see: a file with symbols of the very build, of the same names
set -eu
dir=$1
jail=$dir/jail
lua=$(command -v lua5.4)
link=lua.debug

mkdir -p "$jail/proc" "$jail$dir/.debug" "$dir/outside"
for f in $(ldd "$lua" | grep -o '/[^ ]*'); do
	mkdir -p "$jail$(dirname "$f")"
	cp -L "$f" "$jail$f"
done
cp "$lua" "$dir/outside/$link"
objcopy --remove-section=.gnu_debuglink "$lua" "$dir/plain"
# objcopy reads the file it links to
objcopy --add-gnu-debuglink="$dir/outside/$link" "$dir/plain" "$jail$dir/lua"

# By the names that the program gives, taken in our root
cp "$dir/outside/$link" "$dir/$link"
# …by a link that is absolute, one that goes up, and by what acts when it is opened
ln -s "$dir/outside/$link" "$jail$dir/.debug/$link"
id=$(readelf -n "$lua" | awk '/Build ID/ { print $3 }')
mkdir -p "$jail/usr/lib/debug/.build-id/${id:0:2}"
ln -s "../../../../../../../../../../../../..$dir/outside/$link" \
	"$jail/usr/lib/debug/.build-id/${id:0:2}/${id:2}.debug"
mkfifo "$jail$dir/$link"
