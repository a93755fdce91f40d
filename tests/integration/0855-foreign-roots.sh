#!/bin/bash
# Files that a target names are opened within its root, and only if they are regular.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
need_root

if ! command -v strace >/dev/null; then
	skip "no strace" "what is opened of a target in a root of its own"
	done_testing
	exit
fi
"$ROOT/tests/hostile/jail.sh" "$TMP"
cat >"$TMP/jail/wait.lua" <<-EOF
	t = {} for i = 1, 1000 do t[i] = {i} end
	io.write('ready\n') io.flush() io.read()
EOF

mkfifo "$TMP/gate"
chroot "$TMP/jail" "$TMP/lua" /wait.lua <"$TMP/gate" >"$TMP/lua.out" &
target=$!
pids+=("$target")
exec 9>"$TMP/gate"
wait_for 10 has_line '^ready$' "$TMP/lua.out"

opened() { # look's name: what was opened, and not only found, of files outside and of what is no regular file
	grep -E 'open(at2?)?\(' "$TMP/$1.strace" | grep -v O_PATH |
		grep -E "= [0-9]+<($TMP/outside|$TMP/lua\.debug|$TMP/jail$TMP/lua\.debug)"
}

inject=()
look() { # name command…
	local name=$1
	shift
	timeout 60 strace -f -y -qq -e trace=open,openat,openat2 "${inject[@]}" -o "$TMP/$name.strace" "$@" \
		>"$TMP/$name.out" 2>"$TMP/$name.err"
}

all_commands() { # how prefix…
	local how=$1
	shift
	look "list-$how" "$@" "$TRACER" list -p "$target"
	is $? 0 "$how: list answers"
	like "$(cat "$TMP/list-$how.out")" "5\.4" "$how: and knows the version"
	is "$(opened "list-$how")" "" "$how: list opens nothing outside the root"
	look "census-$how" "$@" "$TRACER" census -p "$target"
	is "$(opened "census-$how")" "" "$how: nor does census"
	[ "$(grep -c "\"$TMP/lua\.debug\"" "$TMP/list-$how.strace")" -gt 0 ]
	ok $? "$how: though the debug link was followed"
}

few=(setpriv "--bounding-set=-sys_admin,-checkpoint_restore")
all_commands root
# Without the right to go by map_files, and where openat2() is forbidden
all_commands few "${few[@]}"
inject=(-e inject=openat2:error=ENOSYS)
all_commands few-old "${few[@]}"
inject=()

# The interpreter's name leads elsewhere now
mv "$TMP/jail$TMP/lua" "$TMP/jail$TMP/lua.mapped"
ln -s "$TMP/outside/lua.debug" "$TMP/jail$TMP/lua"
look link-few "${few[@]}" "$TRACER" list -p "$target"
is "$(opened link-few)" "" "a name that leads out now: nothing outside is opened"
rm "$TMP/jail$TMP/lua"
mkfifo "$TMP/jail$TMP/lua"
look fifo-few "${few[@]}" "$TRACER" list -p "$target"
[ $? -ne 124 ]
ok $? "a name that is a FIFO now: list ends"
is "$(grep -v O_PATH "$TMP/fifo-few.strace" | grep -cE "= [0-9]+<$TMP/jail$TMP/lua>")" 0 "and did not open it"
echo >&9
wait "$target"
is $? 0 "and the target ends well"
done_testing
