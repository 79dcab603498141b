//! The key that authenticates native code and its records.
//!
//! Invariant: the key is a file of this user alone, and is drawn once.

use crate::{Error, dir::Dir};
use std::{io, os::unix::fs::FileExt, path::Path};

/// Returns the key, and draws it at the first use.
pub(crate) fn load(key_file: &Path) -> Result<[u8; 32], Error> {
    let failed = |source| Error::io("read the key", key_file, source);
    let name = key_file.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
    let parent = key_file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let dir = Dir::open(parent)?;
    let read = || -> Result<Option<[u8; 32]>, Error> {
        let Some(file) = dir.open_own(name)? else { return Ok(None) };
        let mut key = [0; 32];
        file.read_exact_at(&mut key, 0).map_err(failed)?;
        Ok(Some(key))
    };
    if let Some(key) = read()? {
        return Ok(key);
    }
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| failed(io::Error::other(error)))?;
    Dir::open_private(parent)?.publish_new(name, &key)?;
    // Another process may have been first: the key is the one on disk.
    read()?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
}
