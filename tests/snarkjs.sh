#!/bin/sh
# Finds snarkjs, which checks proofs and keys for Groth16, or unpacks it from npm into target/tools. Without node, the
# comparison with snarkjs is skipped, unless SNAPBACK_REQUIRE_SNARKJS is set.
set -eu
cd "$(dirname "$0")/.."

version=0.7.5
place=target/tools/snarkjs-$version
if [ -x "$place/node_modules/.bin/snarkjs" ]; then exit 0; fi
if ! command -v npm >/dev/null 2>&1 && [ -n "${SNAPBACK_REQUIRE_SNARKJS:-}" ] && [ "$(id -u)" = 0 ]; then
    # A fresh machine has no lists of packages, and only root may download them.
    { apt-get update -qq && apt-get install -qq --no-install-recommends nodejs npm; } >&2 || true
fi
if command -v npm >/dev/null 2>&1; then
    mkdir -p "$place"
    npm install --prefix "$place" --no-audit --no-fund --silent "snarkjs@$version" >&2 || true
fi
if [ ! -x "$place/node_modules/.bin/snarkjs" ]; then
    echo "snapback: snarkjs is missing, so proofs are not compared with it (it needs node and npm)" >&2
fi
