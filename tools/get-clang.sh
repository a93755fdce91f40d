#!/bin/bash
# Unpacks clang of another release of Debian and prints the path of a script that runs it there, by its own
# libraries. usage: get-clang.sh DIR VERSION     DIR: build/compilers
# SPDX-License-Identifier: MIT
set -eu
cd "$(dirname "$0")/.."
dir=$(realpath -m "${1:?usage: $0 DIR VERSION}")
version=${2:?usage: $0 DIR VERSION}
root=$dir/clang-$version-root
run=$dir/clang-$version
if [ ! -x "$run" ]; then
	tools/archive.sh "$dir" || { echo "get-clang.sh: the archive cannot be reached" >&2; exit 1; }
	export APT_CONFIG=$dir/apt.conf
	rm -rf "$root"
	mkdir -p "$root/debs/partial"
	# The release by name, so that its libraries are all of one: the oldest that has this version.
	for suite in bullseye bookworm trixie trixie-backports forky sid; do
		apt-cache madison "clang-$version" 2>/dev/null | grep -q " $suite/main " && break
		suite=
	done
	[ -n "$suite" ] || { echo "get-clang.sh: no clang-$version in the archive" >&2; exit 1; }
	apt-get -qq -y --no-install-recommends --download-only -o Debug::NoLocking=1 -o Dir::Cache::Archives="$root/debs" \
		-t "$suite" install "clang-$version" >&2
	for deb in "$root"/debs/*.deb; do dpkg-deb -x "$deb" "$root"; done
	rm -rf "$root/debs"
	cat >"$run.new" <<RUN
#!/bin/sh
lib=\$(echo $root/lib/x86_64-linux-gnu $root/usr/lib/x86_64-linux-gnu $root/usr/lib/llvm-$version/lib | tr ' ' ':')
for ld in $root/lib/x86_64-linux-gnu $root/usr/lib/x86_64-linux-gnu; do
	[ ! -e "\$ld/ld-linux-x86-64.so.2" ] || exec "\$ld/ld-linux-x86-64.so.2" --library-path "\$lib" \
		$root/usr/lib/llvm-$version/bin/clang -resource-dir "$(echo "$root/usr/lib/llvm-$version/lib/clang/"*)" "\$@"
done
exit 127
RUN
	chmod 755 "$run.new"
	"$run.new" --version >/dev/null
	mv "$run.new" "$run"
fi
echo "$run"
