#!/bin/sh
# Gathers pages for the tests of the guest `extract` into target/tools/html: the documentation of other projects from Debian's
# packages, Mozilla's pages for Readability, and the tests of html5lib, which two crates have. It does so only where missing
# pages are a failure (SNAPBACK_REQUIRE_PAGES), since they have half a gigabyte. Without them, those tests are skipped.
set -eu
cd "$(dirname "$0")/.."

place=target/tools/html
packages="git-doc libboost1.74-doc openjdk-17-doc postgresql-doc-15 python3.11-doc"
if [ -z "${SNAPBACK_REQUIRE_PAGES:-}" ] || [ -d "$place" ]; then exit 0; fi
mkdir -p target/tools
work=$(mktemp -d target/tools/html.XXXXXX)
trap 'rm -rf "$work"' EXIT

mkdir "$work/deb" "$work/pages"
# Only root may download lists of packages, and not all versions of Debian have all of these packages.
fetch() { (cd "$work/deb" && for package in $packages; do apt-get download -qq "$package" || return 1; done) >/dev/null 2>&1; }
fetch || { [ "$(id -u)" = 0 ] && apt-get update -qq >&2 && fetch; } || true
for package in "$work"/deb/*.deb; do
    if [ -f "$package" ]; then dpkg-deb -x "$package" "$work/pages/$(basename "$package" .deb)"; fi
done
rm -r "$work/deb"
find "$work/pages" ! -type d ! -name '*.html' -delete

# Cargo downloads the crates and compares their checksums; nothing is compiled.
mkdir "$work/crates"
cat >"$work/crates/Cargo.toml" <<'MANIFEST'
[package]
name = "crates-with-pages"
edition = "2024"
[lib]
path = "Cargo.toml"
[dependencies]
markup5ever_arcdom = "=0.1.0"
readability-rust = "=0.1.0"
[workspace]
MANIFEST
"${CARGO:-cargo}" vendor --quiet --manifest-path "$work/crates/Cargo.toml" "$work/crates/vendor" >/dev/null
mv "$work/crates/vendor/markup5ever_arcdom/html5lib-tests/tree-construction" "$work/html5lib"
mv "$work/crates/vendor/readability-rust/mozzilla-readability/test/test-pages" "$work/readability"
rm -r "$work/crates"
mv "$work" "$place"
