#!/bin/sh
# Finds snarkjs, which checks proofs and keys for Groth16, and the compiler of Solidity for the contracts that it exports, or
# unpacks both from npm into target/tools. Without node, the comparison with snarkjs is skipped, unless
# SNAPBACK_REQUIRE_SNARKJS is set, which also builds the EVM that runs a contract.
set -eu
cd "$(dirname "$0")/.."

version=0.7.5
place=target/tools/snarkjs-$version
solc=0.8.30

if [ -n "${SNAPBACK_REQUIRE_SNARKJS:-}" ]; then
    "${CARGO:-cargo}" build --quiet --release --locked --manifest-path tests/evm/Cargo.toml --target-dir target/evm
fi
is_there() { [ -x "$place/node_modules/.bin/snarkjs" ] && [ -d "$place/node_modules/solc" ]; }
if is_there; then exit 0; fi
if ! command -v npm >/dev/null 2>&1 && [ -n "${SNAPBACK_REQUIRE_SNARKJS:-}" ] && [ "$(id -u)" = 0 ]; then
    # A fresh machine has no lists of packages, and only root may download them.
    { apt-get update -qq && apt-get install -qq --no-install-recommends nodejs npm; } >&2 || true
fi
if command -v npm >/dev/null 2>&1; then
    mkdir -p "$place"
    npm install --prefix "$place" --no-audit --no-fund --silent "snarkjs@$version" "solc@$solc" >&2 || true
fi
if ! is_there; then
    echo "snapback: snarkjs is missing, so proofs are not compared with it (it needs node and npm)" >&2
fi
