#!/bin/sh
# Checks licences, sources and duplicate versions of the crates against .deny.toml, and known vulnerabilities where
# their database can be downloaded. Without cargo-deny, nothing is checked, unless SNAPBACK_REQUIRE_CARGO_DENY is set:
# it is then installed into target/tools, which takes minutes once.
set -eu
cd "$(dirname "$0")/.."
version=0.20.2

if command -v cargo-deny >/dev/null 2>&1; then
    deny=cargo-deny
else
    deny=target/tools/bin/cargo-deny
    if [ ! -x "$deny" ]; then
        if [ -z "${SNAPBACK_REQUIRE_CARGO_DENY:-}" ]; then
            echo "snapback: cargo-deny is missing, so licences and sources of crates are not checked (cargo install --locked cargo-deny)" >&2
            exit 0
        fi
        echo "snapback: installing cargo-deny $version" >&2
        cargo install --quiet --locked --root target/tools --version "$version" cargo-deny
    fi
fi

# The crates were downloaded when they were compiled, or are downloaded now.
cargo fetch --quiet --locked --target x86_64-unknown-linux-gnu
"$deny" --locked --offline check licenses sources bans
# The database is a repository on GitHub.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if timeout 120 "$deny" --locked fetch db >"$log" 2>&1; then
    "$deny" --locked --offline check advisories
    echo "snapback: crates checked: licences, sources, duplicates and advisories"
else
    echo "snapback: crates checked: licences, sources and duplicates; the database of advisories cannot be downloaded"
fi
