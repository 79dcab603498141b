#!/bin/sh
# Builds guests with other settings of the compiler, into target/flags, and unpacks the pages that they are called with.
# `make flags` runs the bench `flags` afterwards. The first argument of `extract` and `guest` names the build and its
# figures. The embedded builds are `0_without_simd` and `simd` of extract, and `0_zcash`, `0_plonk` and `0_groth16`; ratios
# are relative to those whose names begin with 0.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
flags=$root/target/flags
cargo=${CARGO:-cargo}

mkdir -p "$flags"
rm -f "$flags"/*.wasm

# The build script lays out the workspace of the guests, with the libraries that they change.
"$cargo" build --quiet --release --locked --package snapback-snapshot
workspace=
for candidate in target/guests/rustup/workspace target/guests/debian/workspace; do
    if [ -d "$candidate" ]; then workspace=$root/$candidate; break; fi
done
sysroot=$(rustc --print sysroot)
if [ -z "$workspace" ] || [ ! -d "$sysroot/lib/rustlib/wasm32-unknown-unknown/lib" ]; then
    echo "flags: these builds need the target of rustup (\`rustup target add wasm32-unknown-unknown\`)" >&2
    exit 1
fi

# The same guests, with two libraries as their authors have them.
unchanged=$flags/unchanged
rm -rf "$unchanged"
cp -r "$workspace" "$unchanged"
sed -i '/^html5ever = { path/d; /^markup5ever = { path/d' "$unchanged/Cargo.toml"

# guest NAME PACKAGE WORKSPACE FEATURES [VARIABLE=VALUE ...]
guest() {
    name=$1 package=$2 place=$3 features=$4
    shift 4
    rustflags="-Ctarget-feature=+wide-arithmetic$features --cfg=getrandom_backend=\"unsupported\""
    echo "flags: building $name" >&2
    if ! (
        cd "$place"
        env CARGO_PROFILE_GUEST_DEBUG=false RUSTFLAGS="$rustflags" "$@" "$cargo" build --quiet --profile guest \
            --target wasm32-unknown-unknown --package "$package" --target-dir "$flags/build" 2>"$flags/build.log"
    ); then
        cat "$flags/build.log" >&2
        exit 1
    fi
    cp "$flags/build/wasm32-unknown-unknown/guest/$(echo "$package" | tr - _).wasm" "$flags/$name.wasm"
}
extract() {
    name=$1
    shift
    guest "$name" snapback-guest-extract "$@"
}
extract 0_without_simd "$workspace" ,+bulk-memory
extract simd "$workspace" ,+bulk-memory,+simd128
extract simd_libraries_unchanged "$unchanged" ,+bulk-memory,+simd128
extract relaxed_simd "$workspace" ,+bulk-memory,+simd128,+relaxed-simd
extract opt_s "$workspace" ,+bulk-memory,+simd128 CARGO_PROFILE_GUEST_OPT_LEVEL=s
extract thin_lto "$workspace" ,+bulk-memory,+simd128 CARGO_PROFILE_GUEST_LTO=thin
extract no_bulk_memory "$workspace" ,-bulk-memory,-bulk-memory-opt,+simd128
extract no_sign_extension "$workspace" ,+bulk-memory,-sign-ext,+simd128
extract no_saturating_conversions "$workspace" ,+bulk-memory,-nontrapping-fptoint,+simd128
for prover in zcash plonk groth16; do
    guest "0_$prover" "snapback-guest-$prover" "$workspace" ,+bulk-memory
    guest "${prover}_simd" "snapback-guest-$prover" "$workspace" ,+bulk-memory,+simd128
done

# Mozilla's test pages for Readability, of which three are used; see docs/documents.md.
version=readability-rust-0.1.0
pages=$flags/pages
if [ ! -d "$pages/guardian-1" ]; then
    mkdir -p "$pages"
    archive=$(find "${CARGO_HOME:-$HOME/.cargo}/registry/cache" -name "$version.crate" 2>/dev/null | head -n 1)
    if [ -z "$archive" ]; then
        archive=$flags/$version.crate
        curl -sSfL "https://static.crates.io/crates/readability-rust/$version.crate" -o "$archive"
    fi
    for page in ietf-1 wikipedia-3 guardian-1; do
        tar xzf "$archive" -C "$pages" --strip-components=4 "$version/mozzilla-readability/test/test-pages/$page"
    done
fi
