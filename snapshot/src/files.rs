//! Files that appear whole, in directories that are this user's alone.
//!
//! Invariant: a name appears only when everything behind it is on disk (temporary file, sync, rename).

use crate::Error;
use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::Path,
};
use tempfile::NamedTempFile;

/// Makes a directory that only its owner can enter, with its parents; one that is there has to belong to this user
/// and to be closed to others' writing.
///
/// # Errors
/// When it cannot be made, or is not this user's alone.
pub fn make_private_dir(dir: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir).and_then(|()| fs::metadata(dir));
    let metadata = made.map_err(|source| Error::io("make the directory", dir, source))?;
    let refuse = |reason| {
        let source = io::Error::new(io::ErrorKind::PermissionDenied, reason);
        Err(Error::io("use the directory", dir, source))
    };
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return refuse("it belongs to another user");
    }
    if metadata.mode() & 0o022 != 0 {
        return refuse("others than its owner can write into it");
    }
    Ok(())
}

/// Writes a file so that it is either whole under its name or not there.
///
/// # Errors
/// When it cannot be written, made durable and named.
pub fn publish(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write(path, bytes, |file| file.persist(path).map(drop).map_err(|error| error.error))
}

/// The same, unless the name is taken: then what is there stays.
pub(crate) fn publish_new(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write(path, bytes, |file| match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
        _ => Ok(()),
    })
}

fn write(path: &Path, bytes: &[u8], name: impl FnOnce(NamedTempFile) -> io::Result<()>) -> Result<(), Error> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let write = || {
        let mut temporary = NamedTempFile::new_in(dir)?;
        temporary.write_all(bytes)?;
        temporary.as_file().set_permissions(Permissions::from_mode(0o400))?;
        temporary.as_file().sync_all()?;
        name(temporary)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(|source| Error::io("write", path, source))
}
