#!/bin/sh
# Finds a toolchain that compiles guests to wasm32, or installs one, or prints the commands that install one.
# The build script of `snapback-snapshot` uses this toolchain; it installs nothing itself.
set -eu

sysroot=$(rustc --print sysroot)
packages="rustc-web rust-web-src"

has_target() { [ -d "$sysroot/lib/rustlib/wasm32-unknown-unknown/lib" ]; }
has_debian() {
    [ -x /usr/bin/rustc ] && [ -f /usr/lib/rustlib/src/rust/library/std/Cargo.toml ] &&
        [ -x "$sysroot/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/rust-lld" ]
}

# SNAPBACK_WASM_TOOLCHAIN selects the toolchain, `rustup` or `debian`; the build script reads it too.
choice=${SNAPBACK_WASM_TOOLCHAIN:-}
if [ "$choice" != debian ] && has_target; then exit 0; fi
if [ "$choice" != rustup ] && has_debian; then exit 0; fi

if [ "$choice" != debian ] && command -v rustup >/dev/null 2>&1; then
    echo "snapback: adding the target wasm32-unknown-unknown with rustup" >&2
    if timeout 120 rustup target add wasm32-unknown-unknown >&2 && has_target; then exit 0; fi
    echo "snapback: rustup cannot download the target" >&2
fi

if [ "$choice" != rustup ] && command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    echo "snapback: installing Debian's $packages" >&2
    apt-get update -qq >&2
    # shellcheck disable=SC2086 # $packages holds two words
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $packages >&2
    if has_debian; then exit 0; fi
fi

cat >&2 <<END
snapback: no toolchain compiles to wasm32-unknown-unknown. Install one with one of these commands:
  rustup target add wasm32-unknown-unknown
  sudo apt-get install --no-install-recommends $packages
END
exit 1
