#!/bin/sh
# The version: of the tag, or of the file VERSION where there is no repository (a package's source).
# SPDX-License-Identifier: MIT
cd "$(dirname "$0")/.." || exit 2
[ -z "${LMT_VERSION:-}" ] || { echo "$LMT_VERSION"; exit; } # who packages knows
known=$(cat VERSION) || exit 2
tag=$(git describe --tags --match 'v[0-9]*' --dirty 2>/dev/null) && [ -e .git ] && known=${tag#v}
echo "$known"
