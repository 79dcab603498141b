//! Tests of the methods as a whole.

mod hostile;
mod html5lib;
mod methods;
mod oracle;

use std::path::{Path, PathBuf};

/// Returns a directory of pages that `tests/html_pages.sh` gathers, if they are here. Tests without their pages pass, unless
/// `SNAPBACK_REQUIRE_PAGES` is set.
fn gathered(name: &str) -> Option<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/html").join(name);
    let is_there = directory.is_dir();
    assert!(
        is_there || std::env::var_os("SNAPBACK_REQUIRE_PAGES").is_none(),
        "tests/html_pages.sh gathers them"
    );
    is_there.then_some(directory)
}
