#!/bin/sh
# Finds promtool, which checks the alert rules, or unpacks the one from Debian's package into target/tools. The script
# installs nothing. Without promtool, the tests of the rules are skipped, unless SNAPBACK_REQUIRE_PROMTOOL is set.
set -eu
cd "$(dirname "$0")/.."

if command -v promtool >/dev/null 2>&1 || [ -x target/tools/promtool ]; then exit 0; fi
mkdir -p target/tools
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fetch() { (cd "$work" && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb .) >/dev/null 2>&1; }
if command -v apt-get >/dev/null 2>&1; then
    # A fresh machine has no lists of packages, and only root may download them.
    fetch || { [ "$(id -u)" = 0 ] && apt-get update -qq >&2 && fetch; } || true
fi
if [ -x "$work/usr/bin/promtool" ]; then
    mv "$work/usr/bin/promtool" target/tools/promtool
else
    echo "snapback: promtool is missing, so the alert rules are not checked (Debian's package prometheus has it)" >&2
fi
