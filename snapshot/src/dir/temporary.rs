//! Files that are being written.
//!
//! Invariant: a file that is dropped before it is published leaves nothing behind. One whose writer was killed has a name
//! by which [`Dir::sweep_temporary`] finds it.

use super::{Dir, component};
use crate::{Error, mapped::Mapped};
use rustix::fs::{self, AtFlags, Mode, OFlags};
use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Write as _},
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
};

/// Prefix of the names of files that are being written.
pub(super) const PREFIX: &str = ".tmp-";
/// Mode of files that are published: nobody writes into them.
const PUBLISHED: u32 = 0o400;

/// A file of a directory that has a temporary name until it is published.
pub struct TemporaryFile {
    dir: OwnedFd,
    /// For messages.
    path: PathBuf,
    name: Option<String>,
    file: File,
}

impl Dir {
    /// Creates an empty file with a temporary name.
    ///
    /// # Errors
    /// Returns an error if it cannot be created.
    pub fn temporary(&self) -> Result<TemporaryFile, Error> {
        let name = random_name();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || -> io::Result<(OwnedFd, OwnedFd)> {
            let dir = self.fd.try_clone()?;
            let file = fs::openat(&dir, &*name, flags, Mode::from_raw_mode(PUBLISHED))?;
            Ok((dir, file))
        };
        let (dir, file) = create().map_err(|source| Error::io("write", self.path_of(&name), source))?;
        Ok(TemporaryFile { dir, path: self.path.clone(), name: Some(name), file: file.into() })
    }
}

impl TemporaryFile {
    /// Appends bytes to the file.
    ///
    /// # Errors
    /// Returns an error if they cannot be written.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(|source| self.failed(None, source))
    }

    /// Maps the bytes that were written.
    ///
    /// # Errors
    /// Returns an error if the kernel refuses.
    pub fn map(&self) -> Result<Mapped, Error> {
        Mapped::of(&self.file).map_err(|source| self.failed(None, source))
    }

    /// Publishes the file: it appears under its name complete, and replaces what has this name.
    ///
    /// # Errors
    /// Returns an error if the file cannot be synced or renamed.
    pub fn publish(self, name: &str) -> Result<(), Error> {
        self.publish_with(name, |dir, temporary| fs::renameat(dir, temporary, dir, component(name)))
    }

    /// Publishes the file like [`publish`](Self::publish), but keeps what has this name.
    ///
    /// # Errors
    /// Returns an error if the file cannot be synced or linked.
    pub fn publish_new(self, name: &str) -> Result<(), Error> {
        self.publish_with(name, |dir, temporary| {
            match fs::linkat(dir, temporary, dir, component(name), AtFlags::empty()) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => fs::unlinkat(dir, temporary, AtFlags::empty()),
                error => error,
            }
        })
    }

    fn publish_with(
        mut self,
        name: &str,
        give_name: impl FnOnce(&OwnedFd, &str) -> rustix::io::Result<()>,
    ) -> Result<(), Error> {
        let temporary = self.name.as_deref().expect("published once, by value");
        let publish = || -> io::Result<()> {
            self.file.sync_all()?;
            give_name(&self.dir, temporary)?;
            Ok(())
        };
        publish().map_err(|source| self.failed(Some(name), source))?;
        self.name = None;
        fs::fsync(self.dir.as_fd()).map_err(|error| self.failed(Some(name), error.into()))
    }

    fn failed(&self, name: Option<&str>, source: io::Error) -> Error {
        let name = name.or(self.name.as_deref()).unwrap_or_default();
        Error::io("write", self.path.join(name), source)
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // What cannot be removed is swept later.
            let _ = fs::unlinkat(&self.dir, &**name, AtFlags::empty());
        }
    }
}

fn random_name() -> String {
    let mut random = [0u8; 12];
    getrandom::fill(&mut random).expect("the operating system provides entropy");
    random.iter().fold(PREFIX.to_owned(), |mut name, byte| {
        write!(name, "{byte:02x}").expect("writing to a string does not fail");
        name
    })
}
