#!/bin/bash
# Unpacks Debian's cloud kernels into DIR/x/VERSION, without installing them, and prints for each series
# "SERIES PATH" of its vmlinuz, or "SERIES none" where the archive has none. usage: get.sh DIR SERIES…
# SERIES: 6.1, …, or newest. The archive is that of the machine's own apt configuration; security kernels
# move on, so the newest of a series is taken. What is there already is not fetched again.
# SPDX-License-Identifier: MIT
set -eu
dir=$(realpath -m "$1")
shift
mkdir -p "$dir"/{lists/partial,cache/archives/partial,state,parts,debs,x}
# shellcheck disable=SC2016  # apt's own placeholder
uris=$(apt-get indextargets --format '$(REPO_URI)' | sort -u)
main=$(grep -m1 '/debian/\?$' <<<"$uris" || :)
security=$(grep -m1 'debian-security/\?$' <<<"$uris" || :)
# One list a source, so that one that is gone does not take the others with it.
rm -f "$dir"/parts/*
for suite in bullseye bookworm trixie trixie-backports forky sid; do
	[ -z "$main" ] || echo "deb [trusted=yes] $main $suite main" >"$dir/parts/$suite.list"
done
for suite in bullseye bookworm trixie; do
	[ -z "$security" ] || echo "deb [trusted=yes] $security $suite-security main" >"$dir/parts/$suite-security.list"
done
cat >"$dir/apt.conf" <<CONF
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "$dir/parts";
Dir::State::Lists "$dir/lists";
Dir::State "$dir/state";
Dir::Cache "$dir/cache";
Acquire::Languages "none";
APT::Sandbox::User "root";
CONF
export APT_CONFIG=$dir/apt.conf
# A day old is new enough: the lists are large.
if [ -z "$(find "$dir/lists" -name '*_Packages*' -mtime -1 | head -n 1)" ]; then
	apt-get update -qq >&2 || echo "get.sh: some of the archive's lists could not be fetched" >&2
fi

packages() { apt-cache pkgnames 2>/dev/null | grep -E '^linux-(image|binary)-[0-9].*cloud-amd64$' | grep -vE 'unsigned|dbg'; }
series_of() { sed -nE 's/^linux-[a-z]+-([0-9]+\.[0-9]+)[.+].*/\1/p'; }

unpack() { # package directory
	local deb
	(cd "$dir/debs" && apt-get download -qq "$1" >&2) || return 1
	deb=$(find "$dir/debs" -name "$1_*.deb" | sort -V | tail -n 1)
	mkdir -p "$2.new"
	dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$2.new" --wildcards '*vmlinuz*' || return 1
	rm -rf "$2" "$deb"
	mv "$2.new" "$2"
}

for wanted; do
	series=$wanted
	[ "$wanted" != newest ] || series=$(packages | series_of | sort -V | tail -n 1)
	package=$(packages | grep -E "^linux-[a-z]+-${series//./\\.}[.+]" | sort -V | tail -n 1 || :)
	# From 6.19 on linux-image-… is empty and linux-binary-… holds the kernel.
	! apt-cache show "${package/linux-image/linux-binary}" >/dev/null 2>&1 || package=${package/linux-image/linux-binary}
	version=${package#linux-*-}
	image=
	if [ -n "$package" ]; then
		[ -n "$(find "$dir/x/$version" -name 'vmlinuz*' 2>/dev/null)" ] || unpack "$package" "$dir/x/$version" || :
		image=$(find "$dir/x/$version" -name 'vmlinuz*' 2>/dev/null | head -n 1)
	fi
	echo "${series:-$wanted} ${image:-none}"
done
