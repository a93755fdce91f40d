#!/bin/bash
# All that packaging/ holds is built, looked at by the tools of its kind, and started where that can be. TAP.
# Needs debhelper and lintian; what is not there of the rest is skipped and said. As root the package's program also runs.
# usage: BUILD=DIR check.sh
# SPDX-License-Identifier: MIT
set -u
cd "$(dirname "$0")/.." || exit 2
BUILD=${BUILD:-$PWD/build} n=0 failed=0
work=$(mktemp -d "${TMPDIR:-/tmp}/lmt-packaging.XXXXXX")
trap 'rm -rf "$work"' EXIT
DEB_BUILD_OPTIONS="parallel=$(nproc)"
export DEB_BUILD_OPTIONS

ok() { # status text [log]
	n=$((n + 1))
	if [ "$1" = 0 ]; then echo "ok $n - $2"; else
		echo "not ok $n - $2"
		failed=$((failed + 1))
		[ -z "${3:-}" ] || tail -n 20 "$3" | sed 's/^/# /'
	fi
}
skip() { n=$((n + 1)) && echo "ok $n # skip $1"; }
have() { command -v "$1" >/dev/null || { skip "$2: no $1 here"; return 1; }; }

# The sources of the release, in two folders: what comes of them is the same.
make -s B="$work" dist >"$work/dist.log" 2>&1 && for d in one another/deeper; do
	mkdir -p "$work/$d" && tar -C "$work/$d" --strip-components=1 -xzf "$work"/luamemtrace-*.tar.gz
done
ok $? "make dist: an archive that unpacks" "$work/dist.log"
version=$(cat VERSION)
for d in one another/deeper; do make -s -C "$work/$d" LMT_VERSION="$version" static >"$work/static.log" 2>&1 || break; done
if grep -q apt-get "$work/static.log"; then
	skip "static: $(grep -m1 apt-get "$work/static.log")"
else
	cmp "$work/one/build/static/luamemtrace" "$work/another/deeper/build/static/luamemtrace" >>"$work/static.log" 2>&1
	ok $? "static: the same bytes from two folders" "$work/static.log"
fi

# Installed, completions read by their shells, taken away again.
make -s -C "$work/one" all >"$work/make.log" 2>&1
make -s -C "$work/one" DESTDIR="$work/root" PREFIX=/usr install >>"$work/make.log" 2>&1
ok $? "make install" "$work/make.log"
for s in bash:share/bash-completion/completions/luamemtrace zsh:share/zsh/site-functions/_luamemtrace \
	fish:share/fish/vendor_completions.d/luamemtrace.fish; do
	have "${s%%:*}" "completions" || continue
	"${s%%:*}" -n "$work/root/usr/${s#*:}" >"$work/shell.log" 2>&1 && grep -q -- 'max-overhead' "$work/root/usr/${s#*:}"
	ok $? "completions: ${s%%:*} reads them" "$work/shell.log"
done
if have systemd-analyze "units"; then
	mkdir "$work/units" # with a program that is there: it looks for it
	for u in "$work"/root/usr/lib/systemd/system/*.service; do
		sed 's,/usr/sbin/luamemtrace,/bin/true,' "$u" >"$work/units/$(basename "$u")"
	done
	systemd-analyze verify --man=no "$work"/units/*.service >"$work/units.log" 2>&1 && [ ! -s "$work/units.log" ]
	ok $? "units: systemd-analyze verify has nothing to say" "$work/units.log"
	for u in packaging/systemd/*.service; do
		systemd-analyze security --offline=yes --threshold=30 "$u" >"$work/units.log" 2>&1
		ok $? "units: $(basename "$u") is exposed to 3.0 of 10 at most" "$work/units.log"
	done
fi
make -s -C "$work/one" DESTDIR="$work/root" PREFIX=/usr uninstall >"$work/make.log" 2>&1
[ -z "$(find "$work/root" -type f)" ]
ok $? "make uninstall leaves nothing" "$work/make.log"

# The Debian package, from the same sources.
if have dpkg-buildpackage "package" && have lintian "package" && have dh "package"; then
	make -s -C "$work/one" clean && cp -a packaging/debian "$work/one/debian"
	(cd "$work/one" && dpkg-buildpackage -us -uc >"$work/deb.log" 2>&1)
	ok $? "package: builds" "$work/deb.log"
	# Who packages it for an archive writes an address of his own; ours is nobody's.
	lintian --allow-root --fail-on error,warning --suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog \
		"$work"/luamemtrace_*.changes >"$work/lintian.log" 2>&1
	ok $? "package: lintian has no error and no warning" "$work/lintian.log"
	dpkg -x "$work"/luamemtrace_*_amd64.deb "$work/deb" && "$work/deb/usr/sbin/luamemtrace" -V >"$work/deb.log" 2>&1
	ok $? "package: its program starts" "$work/deb.log"
	[ "$(dpkg-deb -f "$work"/luamemtrace_*_amd64.deb Version)" = "$(sed 's/luamemtrace //' "$work/deb.log")" ]
	ok $? "package: and is of its version" "$work/deb.log"
	if [ "$(id -u)" = 0 ]; then
		"$work/deb/usr/sbin/luamemtrace" doctor >"$work/deb.log" 2>&1
		ok $? "package: doctor finds a way here" "$work/deb.log"
	fi
fi

# As the units run it: nobody, with three capabilities.
if [ "$(id -u)" != 0 ]; then
	skip "three capabilities: needs root"
elif have luajit "three capabilities" && have setpriv "three capabilities"; then
	chmod 755 "$work" && cp "$BUILD/luamemtrace" "$work/program"
	luajit tests/lua/leak.lua 60 >/dev/null 2>&1 &
	target=$!
	caps=-all,+bpf,+perfmon,+sys_ptrace
	setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=$caps --ambient-caps=$caps --bounding-set=$caps \
		--no-new-privs "$work/program" -p $target -m exact -d 4 >"$work/caps.log" 2>&1
	kill $target
	grep -q 'tests/lua/leak.lua:11' "$work/caps.log"
	ok $? "three capabilities are enough for the leaking line" "$work/caps.log"
fi

# Files for others' tools.
if have python3 manifests && python3 -c 'import yaml' 2>/dev/null; then
	find packaging -name '*.y*ml' -exec python3 -c \
		'import sys, yaml; [list(yaml.safe_load_all(open(f))) for f in sys.argv[1:]]' {} + >"$work/yaml.log" 2>&1
	ok $? "manifests: well formed" "$work/yaml.log"
else
	skip "manifests: no python3-yaml here"
fi
if have promtool "alert rules"; then
	promtool check rules packaging/prometheus/*.rules.yml >"$work/rules.log" 2>&1
	ok $? "alert rules: promtool takes them" "$work/rules.log"
fi
if have docker container && docker info >/dev/null 2>&1; then
	docker build -q -f packaging/container/Containerfile -t lmt-check "$work/another/deeper/build/static" >"$work/container.log" 2>&1 &&
		docker run --rm lmt-check -V >>"$work/container.log" 2>&1
	ok $? "container: builds and starts" "$work/container.log"
	docker image rm lmt-check >/dev/null 2>&1
else
	skip "container: no engine that runs here; the empty root of tests/integration/0088-static.sh stands for it"
fi
echo "1..$n"
[ "$failed" = 0 ]
