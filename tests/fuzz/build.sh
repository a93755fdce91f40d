#!/bin/bash
# Builds a fuzz target by itself, driven by drive.c, with the sanitizers: build.sh OUTPUT [TARGET]
# BUILD: where the skeleton was made.
# SPDX-License-Identifier: MIT
set -eu
cd "$(dirname "$0")/../.."
out=$1 target=${2:-elf}
stages="base discover resolve"
more=''
if [ "$target" != elf ]; then
	stages="$stages attach collect census heap report archive"
	more="user/cli/stored.c"
fi
mkdir -p "$(dirname "$out")"
sources=$(for s in $stages; do ls user/"$s"/*.c; done | grep -v insn_capstone)
# shellcheck disable=SC2086  # lists of words
${CC:-gcc} -std=gnu11 -O1 -g -D_GNU_SOURCE -DLMT_VERSION='"fuzz"' -Iuser -Ibpf -I"${BUILD:-build}/bpf" -I. \
	-fsanitize=address,undefined -fno-sanitize-recover=undefined -o "$out" "tests/fuzz/$target.c" tests/fuzz/drive.c $sources $more \
	-lsqlite3 -lbpf -ldw -lelf -llzma -lz -lZydis -lm
