#!/bin/sh
# Names what is missing to build, with its package. Silent when all is there.
# SPDX-License-Identifier: MIT
set -u
missing=

need_tool() { # command, Debian package, Fedora package
	command -v "$1" >/dev/null 2>&1 || missing="$missing
  $1: apt-get install $2    (Fedora: dnf install $3)"
}

need_header() { # header, Debian package, Fedora package
	echo "#include <$1>" | ${CC:-cc} -E -x c - >/dev/null 2>&1 || missing="$missing
  <$1>: apt-get install $2    (Fedora: dnf install $3)"
}

need_tool "${CC:-cc}" gcc gcc
need_tool "${CLANG:-clang}" clang clang
need_tool "${BPFTOOL:-bpftool}" bpftool bpftool
if command -v "${CC:-cc}" >/dev/null 2>&1; then
	need_header bpf/libbpf.h libbpf-dev libbpf-devel
	need_header libelf.h libelf-dev elfutils-libelf-devel
	need_header elfutils/libdw.h libdw-dev elfutils-devel
	need_header zlib.h zlib1g-dev zlib-devel
	need_header lzma.h liblzma-dev xz-devel
	need_header sqlite3.h libsqlite3-dev sqlite-devel
	if [ "${DECODER:-zydis}" = capstone ]; then
		need_header capstone/capstone.h libcapstone-dev capstone-devel
	else
		need_header Zydis/Zydis.h libzydis-dev zydis-devel
	fi
	[ "${STATIC:-0}" != 1 ] || need_header bzlib.h libbz2-dev bzip2-static
	[ "${WITH_BCC:-0}" != 1 ] || need_header bcc/bcc_syms.h libbpfcc-dev bcc-devel
	need_header linux/bpf.h linux-libc-dev kernel-headers
fi
[ -z "$missing" ] && exit 0
echo "luamemtrace: cannot build, missing:$missing" >&2
exit 1
