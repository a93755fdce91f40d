#!/bin/bash
# Builds the fuzz target by itself, with the sanitizers: build.sh OUTPUT
# SPDX-License-Identifier: MIT
set -eu
cd "$(dirname "$0")/../.."
out=$1
mkdir -p "$(dirname "$out")"
# shellcheck disable=SC2046  # a list of files
${CC:-gcc} -std=gnu11 -O1 -g -D_GNU_SOURCE -DLMT_VERSION='"fuzz"' -Iuser -Ibpf -I. \
	-fsanitize=address,undefined -fno-sanitize-recover=undefined -o "$out" tests/fuzz/elf.c \
	$(ls user/base/*.c user/discover/*.c user/resolve/*.c) -ldw -lelf -llzma -lZydis -lm
