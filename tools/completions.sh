#!/bin/sh
# Completions for a shell, made of what PROGRAM says of itself: its --help comes from the option table.
# usage: completions.sh PROGRAM bash|zsh|fish >FILE
# SPDX-License-Identifier: MIT
set -eu
program=$1 shell=$2
export COLUMNS=1000

# COMMAND|SUMMARY
commands=$("$program" --help | sed -nE '/^Commands /,/^$/s/^  ([a-z]+) +(.*)/\1|\2/p')
[ -n "$commands" ] || { echo "completions.sh: $program --help lists no commands" >&2; exit 1; }
# options COMMAND: SHORT|LONG|VALUE|HELP; SHORT and VALUE may be empty, a VALUE that may be left out begins with =
options() {
	"$program" "$1" --help | sed -nE \
		-e "s/^  (-(.), |    )--([a-z-]+) {2,}(.*)/\2|\3||\4/p" \
		-e "s/^  (-(.), |    )--([a-z-]+)\[=([^ ]+)\] +(.*)/\2|\3|=\4|\5/p" \
		-e "s/^  (-(.), |    )--([a-z-]+) ([^ ]+) +(.*)/\2|\3|\4|\5/p"
}
names=$(echo "$commands" | cut -d'|' -f1)

bash_words() {
	cat <<'HEAD'
# bash completion for luamemtrace
_luamemtrace() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command=trace words files=
HEAD
	echo "	case \${COMP_WORDS[1]} in"
	echo "	$(echo "$names" | tr '\n' '|' | sed 's/|$//')) command=\${COMP_WORDS[1]} ;;"
	echo "	esac"
	cat <<'PREV'
	case $prev in
	-p|--pid) mapfile -t COMPREPLY < <(compgen -W "$(cd /proc && echo [0-9]*)" -- "$cur"); return ;;
	-m|--mode) mapfile -t COMPREPLY < <(compgen -W 'auto watch exact' -- "$cur"); return ;;
	-w|--write|--flamegraph|--pprof|--html|--suppressions|--layout|--cgroup) files=1 ;;
	esac
	case $command in report|diff) [[ $cur == -* ]] || files=1 ;; esac
	if [ -n "$files" ]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
	fi
	case $command in
PREV
	for c in $names; do
		printf "\t%s) words='%s' ;;\n" "$c" "$(options "$c" | sed -E 's/^([^|]*)\|([^|]*).*/--\2 \1/; s/ $//; s/ (.)$/ -\1/' | tr '\n' ' ')"
	done
	echo "	esac"
	echo "	[ \"\$COMP_CWORD\" != 1 ] || words=\"\$words $(echo "$names" | tr '\n' ' ')\""
	cat <<'TAIL'
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -F _luamemtrace luamemtrace
TAIL
}

zsh_words() {
	printf '#compdef luamemtrace\nlocal -a commands opts\ncommands=(\n'
	echo "$commands" | sed -E "s/'/'\\\\''/g; s/:/\\\\:/g; s/^([a-z]+)\|(.*)/  '\1:\2'/"
	# shellcheck disable=SC2016  # of zsh
	printf ')\nlocal command=trace\n(( $+commands[(r)${words[2]}:*] )) && command=${words[2]}\ncase $command in\n'
	for c in $names; do
		printf '%s) opts=(\n' "$c"
		options "$c" | sed -E -e "s/'/'\\\\''/g; s/[]:[]/\\\\&/g;t now" -e ":now" \
			-e "s/^([^|]*)\|([^|]*)\|\|(.*)/  '--\2[\3]'\n  '-\1[\3]'/;t" \
			-e "s/^([^|]*)\|([^|]*)\|=([^|]*)\|(.*)/  '--\2=-[\4]::\3:_files'\n  '-\1[\4]'/;t" \
			-e "s/^([^|]*)\|([^|]*)\|([^|]*)\|(.*)/  '--\2[\4]:\3:_files'\n  '-\1[\4]:\3:_files'/" | grep -v "^  '-\["
		printf ') ;;\n'
	done
	cat <<'TAIL'
esac
if (( CURRENT == 2 )) && [[ $PREFIX != -* ]]; then
	_describe command commands
elif [[ $command == (report|diff) && $PREFIX != -* ]]; then
	_files
else
	_arguments -s $opts '*::: :_default'
fi
TAIL
}

fish_words() {
	echo "complete -c luamemtrace -f"
	echo "$commands" | sed -E "s/'/\\\\'/g; s/^([a-z]+)\|(.*)/complete -c luamemtrace -n __fish_use_subcommand -a \1 -d '\2'/"
	for c in $names; do
		when="__fish_seen_subcommand_from $c"
		[ "$c" != trace ] || when="not __fish_seen_subcommand_from $(echo "$names" | grep -vx trace | tr '\n' ' ')"
		options "$c" | sed -E -e "s/'/\\\\'/g;t now" -e ":now" \
			-e "s/^([^|]*)\|([^|]*)\|\|(.*)/-l \2 -s \1 -d '\3'/;t done" \
			-e "s/^([^|]*)\|([^|]*)\|=([^|]*)\|(.*)/-l \2 -s \1 -d '\4'/;t done" \
			-e "s/^([^|]*)\|([^|]*)\|([^|]*)\|(.*)/-l \2 -s \1 -r -F -d '\4'/" \
			-e ":done" -e "s/ -s +-/ -/" -e "s/^/complete -c luamemtrace -n '$when' /"
	done
}

case $shell in
bash|zsh|fish) "${shell}_words" ;;
*) echo "usage: completions.sh PROGRAM bash|zsh|fish" >&2; exit 2 ;;
esac
