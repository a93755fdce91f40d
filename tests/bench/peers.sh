#!/bin/bash
# Fetches and unpacks, without installing, what the benchmarks compare with and run on: redis, nginx
# with Lua, wrk, and memleak (of Debian 13: that of Debian 12 has none).
# usage: peers.sh [DIRECTORY]     (default: build/peers)
# SPDX-License-Identifier: MIT
set -u
dir=${1:-$(dirname "$0")/../../build/peers}
mkdir -p "$dir/packages" "$dir/apt/lists/partial" "$dir/apt/archives/partial"
dir=$(cd "$dir" && pwd)

# shellcheck disable=SC2016  # apt's own variables
mirror=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' | awk '$1 == "Debian" { print $2; exit }')
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$dir/apt/sources.list"
newer=(-o "Dir::Etc::sourcelist=$dir/apt/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$dir/apt/lists"
	-o "Dir::Cache=$dir/apt")

cd "$dir/packages" || exit 1
for p in redis-server redis-tools libjemalloc2 liblzf1 nginx libnginx-mod-http-ndk libnginx-mod-http-lua \
	lua-resty-core lua-resty-lrucache libluajit2-5.1-2 wrk; do
	apt-get -qq download "$p" 2>/dev/null || echo "peers.sh: no package '$p'" >&2
done
for f in *.deb; do dpkg -x "$f" "$dir"; done

# memleak needs the libraries of its own release, and their loader.
mkdir -p "$dir/newer/packages" "$dir/usr/bin"
cd "$dir/newer/packages" || exit 1
apt-get -qq "${newer[@]}" update 2>/dev/null
apt-get -qq "${newer[@]}" download libbpf-tools libc6 libelf1t64 zlib1g libzstd1 libbpf1 2>/dev/null ||
	echo "peers.sh: no memleak" >&2
for f in *.deb; do dpkg -x "$f" "$dir/newer"; done
lib=$dir/newer/usr/lib/x86_64-linux-gnu
printf '#!/bin/sh\nexec %s/ld-linux-x86-64.so.2 --library-path %s %s "$@"\n' "$lib" "$lib" \
	"$dir/newer/usr/sbin/memleak-libbpf" >"$dir/usr/bin/memleak"
chmod +x "$dir/usr/bin/memleak"
