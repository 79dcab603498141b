//! Reference strings on disk. Circuits need one of their size; each is generated once.
//!
//! ```text
//! <state>/srs/<name>-<sha256>
//! ```
//!
//! Invariant: the store returns bytes only if they have the digest in the name of their file; it removes others.

use crate::{
    Digest, Error,
    files::{make_private_dir, publish},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The reference strings of a state directory.
pub struct ReferenceStore {
    dir: PathBuf,
}

impl ReferenceStore {
    pub(crate) fn open(state_dir: &Path) -> Result<Self, Error> {
        let dir = state_dir.join("srs");
        make_private_dir(&dir)?;
        Ok(Self { dir })
    }

    /// Returns the reference string of this name, if the store has it undamaged. A damaged one is removed.
    ///
    /// # Errors
    /// Returns an error if the store cannot be read, or a damaged string cannot be removed.
    pub fn find(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let entries = fs::read_dir(&self.dir).map_err(|source| Error::io("list", &self.dir, source))?;
        let prefix = format!("{name}-");
        for entry in entries {
            let path = entry.map_err(|source| Error::io("list", &self.dir, source))?.path();
            let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            // For a string whose longer name begins with `name`, the rest of the file's name is not a digest.
            let Some(Ok(digest)) = file.strip_prefix(&prefix).map(str::parse::<Digest>) else { continue };
            let bytes = fs::read(&path).map_err(|source| Error::io("read", &path, source))?;
            if digest == Digest::of(&bytes) {
                return Ok(Some(bytes));
            }
            tracing::warn!(path = %path.display(), "a reference string is damaged and is generated again");
            fs::remove_file(&path).map_err(|source| Error::io("remove", &path, source))?;
        }
        Ok(None)
    }

    /// Stores a reference string under this name.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        publish(&self.dir.join(format!("{name}-{}", Digest::of(bytes))), bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_string_is_removed() {
        let state = tempfile::tempdir().expect("a directory");
        let store = ReferenceStore::open(state.path()).expect("a store");
        store.keep("pallas-4", b"a reference string").expect("written");
        assert_eq!(store.find("pallas-4").expect("read").as_deref(), Some(&b"a reference string"[..]));
        assert!(
            store.find("pallas-5").expect("read").is_none() && store.find("pallas").expect("read").is_none()
        );
        let path = fs::read_dir(&store.dir).expect("read").next().expect("a file").expect("readable").path();
        fs::remove_file(&path).expect("removed");
        fs::write(&path, b"another string").expect("written");
        assert!(store.find("pallas-4").expect("read").is_none() && !path.exists());
    }
}
