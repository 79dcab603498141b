//! Writes files that appear under their names complete, in directories that only this user can write.
//!
//! Invariant: a name appears only when the whole file is on disk (temporary file, sync, rename).

use crate::Error;
use rustix::fs::{Mode, OFlags};
use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::Path,
    time::Duration,
};
use tempfile::{Builder, NamedTempFile};

/// Prefix of the names of files that are being written.
const TEMPORARY: &str = ".tmp";

/// Creates a directory that only its owner can enter, and its parents. An existing directory has to belong to this
/// user, and others must not be able to write into it.
///
/// # Errors
/// Returns an error if the directory cannot be created, belongs to another user, or can be written by others.
pub fn make_private_dir(dir: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir).and_then(|()| fs::metadata(dir));
    let metadata = made.map_err(|source| Error::io("create the directory", dir, source))?;
    let refuse = |reason| {
        let source = io::Error::new(io::ErrorKind::PermissionDenied, reason);
        Err(Error::io("use the directory", dir, source))
    };
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return refuse("it belongs to another user");
    }
    if metadata.mode() & 0o022 != 0 {
        return refuse("others can write into it");
    }
    Ok(())
}

/// Removes temporary files that are older than an hour: their writers were killed, since no file takes that long to
/// write.
pub(crate) fn sweep_temporary(dir: &Path) {
    const AGE: Duration = Duration::from_hours(1);
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            continue;
        }
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let is_old = modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > AGE));
        // A file that cannot be removed does no harm.
        if is_old && fs::remove_file(entry.path()).is_ok() {
            tracing::info!(path = %entry.path().display(), "removed a temporary file of a killed writer");
        }
    }
}

/// Writes a file atomically: it appears under its name complete, and replaces an existing file of this name.
///
/// # Errors
/// Returns an error if the file cannot be written, synced or renamed.
pub fn publish(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write(path, bytes, |file| file.persist(path).map(drop).map_err(|error| error.error))
}

/// Writes a file like [`publish`], but keeps an existing file of this name.
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

/// Opens a file that belongs to this user and that nobody else can write.
pub(crate) fn open_own(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    let refuse = |reason| Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    if !metadata.is_file() {
        return refuse("it is not a regular file");
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return refuse("it belongs to another user");
    }
    if metadata.mode() & 0o022 != 0 {
        return refuse("others can write it");
    }
    if metadata.nlink() != 1 {
        return refuse("it has a second hard link");
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn temporary_files_of_killed_writers_are_removed_after_an_hour() {
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
