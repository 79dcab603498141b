//! Guests that the build compiles beside the embedded ones, for tests and benches.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Returns the file of a guest of this name.
pub(crate) fn compiled(name: &str) -> PathBuf {
    let guests = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../guests");
    let toolchains = fs::read_dir(&guests).expect("compiled guests").map(|entry| entry.expect("one").path());
    let file = format!("wasm32-unknown-unknown/guest/snapback_guest_{name}.wasm");
    let wasm = toolchains.map(|dir| dir.join(&file));
    let newest = wasm.filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path))).max();
    newest.expect("the guest is compiled").1
}
