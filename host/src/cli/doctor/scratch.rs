//! A directory for the measurements, on the file system of the state directory.
//!
//! Invariant: nothing is left behind. The directory has a name of its own, only its owner can use it, and it is removed
//! with everything in it when the checks are over.

use std::{
    io,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// How the names of these directories begin.
const PREFIX: &str = ".snapback-doctor-";

/// A temporary directory, and where it is.
pub(super) struct Scratch {
    dir: TempDir,
    /// Why it is not where the state is.
    elsewhere: Option<io::Error>,
}

impl Scratch {
    /// Creates a directory in the state directory, or in the nearest one above if there is none yet; elsewhere if nothing
    /// can be created there.
    ///
    /// # Errors
    /// Returns an error if nothing can be created anywhere.
    pub(super) fn create(state_dir: &Path) -> io::Result<Self> {
        match tempfile::Builder::new().prefix(PREFIX).tempdir_in(nearest_dir(state_dir)) {
            Ok(dir) => Ok(Self { dir, elsewhere: None }),
            Err(error) => {
                let dir = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
                Ok(Self { dir, elsewhere: Some(error) })
            }
        }
    }

    /// Returns the path of the directory.
    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Returns why nothing can be created where the state is, if that is so.
    pub(super) fn elsewhere(&self) -> Option<&io::Error> {
        self.elsewhere.as_ref()
    }
}

/// Returns a directory, or the nearest one above it that exists.
pub(super) fn nearest_dir(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
    absolute.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_directory_is_made_where_the_state_will_be_and_goes_with_its_owner() {
        let parent = tempfile::tempdir().expect("a directory");
        let scratch = Scratch::create(&parent.path().join("not/there/yet")).expect("it can be written");
        assert!(scratch.elsewhere().is_none());
        assert_eq!(scratch.path().parent(), Some(parent.path()));
        std::fs::write(scratch.path().join("file"), "text").expect("written");
        drop(scratch);
        assert_eq!(std::fs::read_dir(parent.path()).expect("readable").count(), 0);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_replaced_and_reported() {
        // Nobody, not even root, creates files in sysfs.
        let scratch = Scratch::create(Path::new("/sys/snapback")).expect("elsewhere");
        assert!(scratch.elsewhere().is_some() && !scratch.path().starts_with("/sys"));
    }
}
