//! Files that appear whole, in directories that are this user's alone.
//!
//! Invariant: a name appears only when everything behind it is on disk (temporary file, sync, rename).

use crate::Error;
use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::Path,
    time::Duration,
};
use tempfile::{Builder, NamedTempFile};

/// How the names begin of files that are being written.
const TEMPORARY: &str = ".tmp";

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

/// Removes what writers left behind that were killed; nobody writes one file for an hour.
pub(crate) fn sweep_temporary(dir: &Path) {
    const AGE: Duration = Duration::from_hours(1);
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            continue;
        }
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let is_old = modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > AGE));
        // One that cannot be removed is in nobody's way.
        if is_old && fs::remove_file(entry.path()).is_ok() {
            tracing::info!(path = %entry.path().display(), "removed what a killed writer had left");
        }
    }
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
        let mut temporary = Builder::new().prefix(TEMPORARY).tempfile_in(dir)?;
        temporary.write_all(bytes)?;
        temporary.as_file().set_permissions(Permissions::from_mode(0o400))?;
        temporary.as_file().sync_all()?;
        name(temporary)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(|source| Error::io("write", path, source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn what_killed_writers_left_goes_after_an_hour() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = |name: &str, hours: u64| {
            let file = File::create(dir.path().join(name)).expect("a file");
            file.set_modified(SystemTime::now() - Duration::from_hours(hours)).expect("a time");
        };
        file(".tmpold", 2);
        file(".tmpnew", 0);
        file("old", 2);
        sweep_temporary(dir.path());
        let mut left: Vec<_> = fs::read_dir(dir.path())
            .expect("read")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        left.sort();
        assert_eq!(left, [".tmpnew", "old"]);
    }
}
