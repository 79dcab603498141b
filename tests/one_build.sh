#!/bin/sh
# Checks that `make build` and `make test` compile every crate with the same features, so that each is compiled once.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The tree goes through a file, since a pipe would hide that cargo failed.
tree() {
    cargo tree --locked "$@" -f '{p}|{f}' --prefix none >"$work/tree"
    sed 's/ (\*)$//; s/ (\/.*)|/|/' "$work/tree" | sort -u
}
tree --package snapback-host --edges normal,build >"$work/build"
tree --workspace --edges normal,build,dev >"$work/test"
grep -q '^wasmtime ' "$work/build"
if missing=$(grep -vxFf "$work/test" "$work/build"); then
    echo "tests turn on more features of these crates than a build does; add them to host/Cargo.toml:" >&2
    echo "$missing" | while IFS='|' read -r crate features; do
        echo "  $crate: built with [$features], tested with [$(sed -n "s/^$crate|//p" "$work/test")]" >&2
    done
    exit 1
fi
