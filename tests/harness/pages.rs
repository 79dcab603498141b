//! Pages of others, which `tests/html_pages.sh` gathers.

use std::path::{Path, PathBuf};

/// Returns a directory of pages, if it was gathered. Tests without their pages pass, unless `SNAPBACK_REQUIRE_PAGES` is set.
pub(crate) fn gathered(name: &str) -> Option<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/html").join(name);
    let is_there = directory.is_dir();
    assert!(
        is_there || std::env::var_os("SNAPBACK_REQUIRE_PAGES").is_none(),
        "tests/html_pages.sh gathers them"
    );
    is_there.then_some(directory)
}
