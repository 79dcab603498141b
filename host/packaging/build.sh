#!/bin/sh
# Makes the package for Debian from target/release/snapback, which has to be built, and prints its path: manual pages and
# completions come from the program itself, everything else from this directory. Without cargo-deb of the pinned version,
# nothing is made, unless SNAPBACK_REQUIRE_CARGO_DEB is set: it is then installed into target/tools, which takes a minute
# once.
set -eu
cd "$(dirname "$0")/../.."
version=3.8.0
program=target/release/snapback
deb=target/tools/bin/cargo-deb

if [ "$("$deb" --version 2>/dev/null || true)" != "cargo-deb $version" ]; then
    if [ -z "${SNAPBACK_REQUIRE_CARGO_DEB:-}" ]; then
        echo "snapback: cargo-deb is missing, so no package is made (make deb installs it)" >&2
        exit 0
    fi
    echo "snapback: installing cargo-deb $version" >&2
    cargo install --quiet --locked --force --root target/tools --version "$version" cargo-deb
fi

rm -rf target/deb
mkdir -p target/deb/man
"$program" man target/deb/man
"$program" completions bash >target/deb/snapback.bash
"$program" completions zsh >target/deb/_snapback
"$program" completions fish >target/deb/snapback.fish
# `--no-build` packs the program as it is.
"$deb" --quiet --no-build --locked --offline --manifest-path host/Cargo.toml --output target/debian/snapback.deb >/dev/null
echo target/debian/snapback.deb
