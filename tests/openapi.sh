#!/bin/sh
# Installs what checks the document of the HTTP API, and what generates a client from it, from PyPI into target/tools.
# Without Python 3.10 or newer, both checks are skipped, unless SNAPBACK_REQUIRE_OPENAPI is set.
set -eu
cd "$(dirname "$0")/.."

validator=0.9.0
generator=0.29.1
place=target/tools/openapi-$validator-$generator

is_there() { [ -x "$place/bin/openapi-python-client" ] && "$place/bin/python" -c 'import openapi_spec_validator'; } 2>/dev/null
if is_there; then exit 0; fi
python=$(command -v python3 || true)
if [ -n "${SNAPBACK_REQUIRE_OPENAPI:-}" ] && [ "$(id -u)" = 0 ] && ! { [ -n "$python" ] && "$python" -m ensurepip --version; } >/dev/null 2>&1; then
    # A fresh machine has no lists of packages, and only root may download them.
    { apt-get update -qq && apt-get install -qq --no-install-recommends python3 python3-venv; } >&2 || true
    python=$(command -v python3 || true)
fi
if [ -n "$python" ]; then
    rm -rf "$place"
    "$python" -m venv "$place" >&2 &&
        "$place/bin/pip" install --quiet --disable-pip-version-check \
            "openapi-spec-validator==$validator" "openapi-python-client==$generator" >&2 || true
fi
if ! is_there; then
    echo "snapback: openapi-python-client is missing, so no client is generated from the document (it needs Python and PyPI)" >&2
fi
