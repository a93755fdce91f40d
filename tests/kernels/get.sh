#!/bin/bash
# Unpacks Debian's cloud kernels into DIR/x/VERSION, without installing them, and prints for each series
# "SERIES PATH" of its vmlinuz, or "SERIES none" where the archive has none. usage: get.sh DIR SERIES…
# SERIES: 6.1, …, or newest. Security kernels move on, so the newest of a series is taken; where it cannot be
# fetched, one that was unpacked before.
# SPDX-License-Identifier: MIT
set -u
here=$(cd "$(dirname "$0")" && pwd)
dir=$(realpath -m "$1")
shift
mkdir -p "$dir"/{debs,x}
conf=$dir/apt.conf

# renew [--fresh]: the names of all kernels in the archive in $packages
renew() {
	"$here/../../tools/archive.sh" "$dir" "$@" || echo "get.sh: the archive cannot be reached" >&2
	packages=$(APT_CONFIG=$conf apt-cache pkgnames 2>/dev/null | grep -E '^linux-(image|binary)-[0-9].*cloud-amd64$' |
		grep -vE 'unsigned|dbg')
}
# All series in reach, oldest first
all_series() { { echo "$packages"; ls "$dir/x"; } | sed -nE 's/^(linux-[a-z]+-)?([0-9]+\.[0-9]+)[.+].*/\2/p' | sort -uV; }
# The image of the newest kernel of a series that is unpacked
unpacked() { find "$dir/x" -path "$dir/x/$1[.+]*/*vmlinuz*" | sort -V | tail -n 1; }

# fetch SERIES: unpacks the newest kernel of a series, if it is not there
fetch() {
	local package version deb
	package=$(grep -E "^linux-[a-z]+-${1//./\\.}[.+]" <<<"$packages" | sort -t- -k3V | tail -n 1)
	[ -n "$package" ] || return 1
	# From 6.19 on linux-image-… is empty and linux-binary-… holds the kernel.
	! grep -qFx "${package/linux-image/linux-binary}" <<<"$packages" || package=${package/linux-image/linux-binary}
	version=${package#linux-*-}
	[ ! -d "$dir/x/$version" ] || return 0
	(cd "$dir/debs" && APT_CONFIG=$conf apt-get download -qq "$package" >&2) || return 1
	deb=$(find "$dir/debs" -name "${package}_*.deb" | sort -V | tail -n 1)
	rm -rf "$dir/x.new"
	mkdir "$dir/x.new"
	dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$dir/x.new" --wildcards '*vmlinuz*' || return 1
	rm -f "$deb"
	mv "$dir/x.new" "$dir/x/$version"
}

renew
renewed=
for wanted; do
	series=$wanted
	[ "$wanted" != newest ] || series=$(all_series | tail -n 1)
	# A list may be older than what it lists; new ones are fetched once.
	if ! fetch "$series" && [ -z "$renewed" ]; then
		renew --fresh
		renewed=1
		fetch "$series"
	fi
	image=$(unpacked "$series")
	echo "${series:-$wanted} ${image:-none}"
done
