#!/bin/bash
# An apt configuration in DIR that reaches every release of Debian, without touching the machine's own:
# nothing is installed, packages are only fetched and unpacked. The archive is that of the machine.
# usage: archive.sh DIR [--fresh]     then APT_CONFIG=DIR/apt.conf; --fresh: lists anew, though a day has not passed
# exit: 1 where no list could be had, not even an old one
# SPDX-License-Identifier: MIT
set -eu
dir=$(realpath -m "${1:?usage: $0 DIR [--fresh]}")
[ "${2:-}" != --fresh ] || rm -f "$dir/fetched"
mkdir -p "$dir"/{lists/partial,cache/archives/partial,state,parts}
touch "$dir/state/status" # what the machine has installed is of no interest
# shellcheck disable=SC2016  # apt's own placeholder
uris=$(apt-get indextargets --format '$(REPO_URI)' | sort -u)
main=$(grep -m1 '/debian/\?$' <<<"$uris" || :)
security=$(grep -m1 'debian-security/\?$' <<<"$uris" || :)
# One file a suite, so that one that is gone does not take the others with it.
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
Dir::State::Status "$dir/state/status";
Dir::Cache "$dir/cache";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "30";
APT::Sandbox::User "root";
CONF
# Lists are large: those of today are new enough. One that could not be had is tried again by the next run.
if [ -z "$(find "$dir/fetched" -mtime -1 2>/dev/null)" ]; then
	if APT_CONFIG=$dir/apt.conf apt-get update -qq -o APT::Update::Error-Mode=any >&2; then
		touch "$dir/fetched"
	else
		echo "archive.sh: some lists of the archive could not be fetched" >&2
	fi
fi
[ -n "$(find "$dir/lists" -maxdepth 1 -name '*_Packages*' | head -n 1)" ]
