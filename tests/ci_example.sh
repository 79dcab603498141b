#!/bin/sh
# Runs the build step of docs/ci.md, as it stands there, on an embedded guest.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sed -n '/^```sh$/,/^```$/p' docs/ci.md | sed '1d;/^```$/,$d' >"$work/step.sh"
SNAPBACK=target/release/snapback GUEST=fixtures IMAGE="$work/fixtures.image.wasm" METHOD=echo REQUEST=hello REPLY=hello \
    LISTEN=${LISTEN:-127.0.0.1:18080} sh "$work/step.sh"
