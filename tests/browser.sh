#!/bin/sh
# Finds Chromium and its driver, which the tests of the page use, or installs Debian's packages where a missing browser is a
# failure (SNAPBACK_REQUIRE_BROWSER) and this user is root. Without them, those tests are skipped.
set -eu

is_there() { command -v chromedriver >/dev/null 2>&1 && command -v chromium >/dev/null 2>&1; }
if is_there; then exit 0; fi
if [ -n "${SNAPBACK_REQUIRE_BROWSER:-}" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    # A fresh machine has no lists of packages.
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends chromium chromium-driver; } >&2 || true
fi
if ! is_there; then
    echo "snapback: chromium is missing, so the page is not tested (Debian's packages chromium and chromium-driver)" >&2
fi
