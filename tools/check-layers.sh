#!/bin/bash
# Knowledge flows one way: an include never goes up, and each outside library has its one user.
# SPDX-License-Identifier: MIT
#
# Prints each breach and fails. Rules are rows; who may do what is said once, here.
set -u
cd "$(dirname "$0")/.." || exit 2
bad=0

breach() { # file:line text
	echo "$1: $2"
	bad=1
}

# Folders of user/ from left to right; each may include itself and what stands before it.
LAYERS=(base discover resolve attach collect census heap report archive trace record cli)

level_of() { # folder: sets $level, -1 when it is none
	local i
	for i in "${!LAYERS[@]}"; do
		if [ "${LAYERS[i]}" = "$1" ]; then
			level=$i
			return
		fi
	done
	level=-1
}

# The contract headers, that both sides may read.
CONTRACT='^(event|find|block|layout|config|stat|kfunc)\.h$'

# "file:line:header" of every #include "…" of our own.
own_includes() {
	grep -rHnE '^[[:space:]]*#[[:space:]]*include "' --include='*.[ch]' "$@" |
		sed -E 's/^([^:]+:[0-9]+):[^"]*"([^"]+)".*/\1:\2/'
}

check_user_include() { # file line header
	local file=$1 line=$2 header=$3 mine theirs
	mine=${file#user/}
	mine=${mine%%/*}
	theirs=$mine
	case $header in
	*..*)
		breach "$file:$line" "'$header' goes by a relative path"
		return
		;;
	*/*) theirs=${header%%/*} ;;
	*)
		# Its own folder's file, a contract header, or one that was generated.
		[ -e "user/$mine/$header" ] || [[ $header =~ $CONTRACT ]] ||
			[ "$header" = luamemtrace.skel.h ] ||
			breach "$file:$line" "'$header' is in no folder it may include from"
		return
		;;
	esac
	level_of "$theirs"
	local up=$level
	level_of "$mine"
	if [ "$up" -lt 0 ]; then
		breach "$file:$line" "'$header' is in no layer"
	elif [ "$up" -gt "$level" ]; then
		breach "$file:$line" "'$header' lies above $mine: knowledge flows to the right only"
	fi
	[ -e "user/$header" ] || breach "$file:$line" "'$header' does not exist"
}

while IFS=: read -r file line header; do
	check_user_include "$file" "$line" "$header"
done < <(own_includes user)

# BPF code sees its own folder only; contract headers nothing but the kernel's types.
while IFS=: read -r file line header; do
	[ "$header" = vmlinux.h ] || [ -e "bpf/$header" ] ||
		breach "$file:$line" "'$header' is not in bpf/"
	case $(basename "$file") in
	event.h | find.h | block.h | layout.h | config.h | stat.h | kfunc.h)
		[[ $header =~ $CONTRACT ]] ||
			breach "$file:$line" "a contract header includes '$header'"
		;;
	esac
done < <(own_includes bpf)

while IFS= read -r hit; do
	breach "$hit" "a contract header includes nothing of a library but <linux/types.h>"
done < <(grep -nE '^#include <' bpf/{event,find,block,layout,config,stat,kfunc}.h | grep -v '<linux/types.h>' |
	cut -d: -f1,2)

# Folders that do not exist would be layers without a rule.
for dir in user/*/; do
	level_of "$(basename "$dir")"
	[ "$level" -ge 0 ] || breach "$dir" "no layer of this name; see LAYERS in $0"
done

# What few may use: a pattern, the files that may, what it is.
only() { # pattern allowed-files-regex what
	local hit
	while IFS= read -r hit; do
		[ -n "$hit" ] || continue
		[[ ${hit%%:*} =~ ^($2)$ ]] || breach "$(cut -d: -f1,2 <<<"$hit")" "$3"
	done < <(grep -rHnE "$1" --include='*.[ch]' user)
}

only '#include <bpf/|skel\.h"' 'user/attach/[a-z_]+\.c|user/attach/attach_impl\.h|user/collect/live\.c' \
	"libbpf and the skeleton are for attach/ and collect/live.c"
only '#include <(libelf|gelf)\.h>' 'user/resolve/elf[a-z_]*\.[ch]' \
	"libelf is for resolve/elf*.c"
only '#include <(dwarf\.h|elfutils/)' 'user/resolve/cfi\.c' "libdw is for resolve/cfi.c"
only '#include <bcc/' 'user/collect/symbols_bcc\.c' "BCC is for collect/symbols_bcc.c"
only '#include <Zydis/' 'user/resolve/insn_zydis\.c' "Zydis is for resolve/insn_zydis.c"
only '#include <capstone/' 'user/resolve/insn_capstone\.c' "Capstone is for resolve/insn_capstone.c"
only '#include <sqlite3\.h>' 'user/archive/(store|replay|schema)[a-z_]*\.[ch]' \
	"SQLite is for archive/{store,replay,schema}.c"
only '#include <(curses|ncurses)' 'user/report/tui[a-z_]*\.c' "curses is for report/tui*.c"
only '#include <sys/ptrace\.h>|PTRACE_' 'user/census/stop\.c' \
	"ptrace is for census/stop.c"
only 'utsname|uname\(|/proc/version|osrelease|(LINUX|KERNEL)_VERSION' 'user/trace/build_report\.c|user/cli/cmd_doctor\.c' \
	"no feature is decided by a kernel's version: it is tried; the version is shown only"
# /proc of a target. Our own (/proc/self) and the kernel's settings (/proc/sys) are no target's.
only '"/proc("|/%)' 'user/discover/(proc|task|family|resident|within)\.c|user/resolve/memread\.c' \
	"/proc/PID is for discover/{proc,task,family,resident,within}.c and resolve/memread.c"
only '(^|[^_a-z])exit\(' 'user/cli/[a-z_]+\.c' "nobody below cli/ ends the program"
only '(^|[^_a-z])v?printf\(|fprintf\(stderr|fputs\([^;]*stderr\)' \
	'user/(cli|report)/[a-z_]+\.c|user/base/(log|err)\.c|user/trace/launch\.c' \
	"report/ and cli/ print (and the process that becomes the command); return an errmsg or use base/log.h"

# Names of the ABIs are for the ABIs.
while IFS= read -r hit; do
	breach "$hit" "a kernel type in user code: write uint32_t or, in the contract, __u32"
done < <(grep -rnE '(^|[^A-Za-z0-9_.>])(u8|u16|u32|u64)([^A-Za-z0-9_]|$)' --include='*.[ch]' user |
	cut -d: -f1,2)

exit $bad
