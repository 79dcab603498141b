//! Directories that are reached through their descriptors.
//!
//! A state directory may come from an archive that somebody else made: any name in it can be a symbolic link that leads
//! out of it, a FIFO that blocks whoever opens it, or a file of any length.
//!
//! Invariant: nothing outside a directory is read, written or removed through it. Names are single components, links
//! are not followed, and only regular files are opened. A file appears under its name only when all of it is on disk
//! (temporary file, sync, rename).

mod temporary;

pub use temporary::TemporaryFile;

use crate::{Error, mapped::Mapped};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use std::{
    fs::{DirBuilder, File, TryLockError},
    io::{self, Read},
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt, MetadataExt},
    },
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// How old a temporary file is when its writer has certainly ended, in directories that several programs write into.
const TEMPORARY_AGE: Duration = Duration::from_hours(1);

/// An open directory.
pub struct Dir {
    fd: OwnedFd,
    /// For messages, and for processes that are given a file by its path.
    path: PathBuf,
}

impl Dir {
    /// Opens a directory, and creates it and its parents if they are missing. The path may lead through links.
    ///
    /// # Errors
    /// Returns an error if it cannot be created or opened.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        let fd = made.and_then(|()| Ok(fs::open(path, flags, Mode::empty())?));
        let fd = fd.map_err(|source| Error::io("open the directory", path, source))?;
        Ok(Self { fd, path: path.into() })
    }

    /// Opens a directory like [`open`](Self::open), and checks that it belongs to this user, and that nobody else can
    /// write into it.
    ///
    /// # Errors
    /// Returns an error if it cannot be created or opened, or fails the check.
    pub fn open_private(path: &Path) -> Result<Self, Error> {
        Self::open(path)?.into_private()
    }

    /// Opens a directory in this one, and creates it if it is missing. It has to belong to this user, and nobody else
    /// may be able to write into it.
    ///
    /// # Errors
    /// Returns an error if it cannot be created or opened, is a link, or fails the check.
    pub fn sub(&self, name: &str) -> Result<Self, Error> {
        match fs::mkdirat(&self.fd, component(name), Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(Error::io("create the directory", self.path_of(name), error.into())),
        }
        let there = self.existing_sub(name)?;
        let gone = || Error::io("open the directory", self.path_of(name), io::ErrorKind::NotFound.into());
        there.ok_or_else(gone)?.into_private()
    }

    /// Opens a directory in this one, if there is one of this name.
    ///
    /// # Errors
    /// Returns an error if it cannot be opened, or is a link or a file.
    pub fn existing_sub(&self, name: &str) -> Result<Option<Self>, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match fs::openat(&self.fd, component(name), flags, Mode::empty()) {
            Ok(fd) => Ok(Some(Self { fd, path: self.path_of(name) })),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            // The kernel reports a link to a directory as `ENOTDIR` too.
            Err(rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => {
                Err(self.refuse("open the directory", name, "it is not a directory"))
            }
            Err(error) => Err(Error::io("open the directory", self.path_of(name), error.into())),
        }
    }

    fn into_private(self) -> Result<Self, Error> {
        let failed = |source| Error::io("use the directory", &self.path, source);
        let stat = fs::fstat(&self.fd).map_err(|error| failed(error.into()))?;
        let refuse = |reason| Err(failed(io::Error::new(io::ErrorKind::PermissionDenied, reason)));
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            return refuse("it belongs to another user");
        }
        if stat.st_mode & 0o022 != 0 {
            return refuse("others can write into it");
        }
        Ok(self)
    }

    /// Returns the path of a name in this directory, for messages and for other processes.
    #[must_use]
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Returns the names in the directory, in order. Names that are not UTF-8 are not ours, and are left out.
    ///
    /// # Errors
    /// Returns an error if the directory cannot be read.
    pub fn names(&self) -> Result<Vec<String>, Error> {
        let list = || -> rustix::io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in fs::Dir::read_from(&self.fd)? {
                let entry = entry?;
                let name = entry.file_name().to_str().unwrap_or_default();
                if !["", ".", ".."].contains(&name) {
                    names.push(name.to_owned());
                }
            }
            names.sort_unstable();
            Ok(names)
        };
        list().map_err(|error| Error::io("list", &self.path, error.into()))
    }

    /// Whether there is a regular file of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        let stat = fs::statat(&self.fd, component(name), AtFlags::SYMLINK_NOFOLLOW);
        stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_file())
    }

    /// Whether there is a directory of this name.
    #[must_use]
    pub fn contains_dir(&self, name: &str) -> bool {
        let stat = fs::statat(&self.fd, component(name), AtFlags::SYMLINK_NOFOLLOW);
        stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir())
    }

    /// Opens a regular file for reading; returns `None` if there is nothing of this name.
    ///
    /// # Errors
    /// Returns an error if the file cannot be opened, or is not a regular file.
    pub fn open_file(&self, name: &str) -> Result<Option<File>, Error> {
        self.open_with(name, OFlags::RDONLY, Mode::empty())
    }

    /// Opens a regular file that belongs to this user, that nobody else can write, and that has no second name.
    ///
    /// # Errors
    /// Returns an error if the file cannot be opened, or fails the check.
    pub(crate) fn open_own(&self, name: &str) -> Result<Option<File>, Error> {
        let Some(file) = self.open_file(name)? else { return Ok(None) };
        let metadata = file.metadata().map_err(|source| Error::io("inspect", self.path_of(name), source))?;
        let refuse = |reason| Err(self.refuse("use", name, reason));
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return refuse("it belongs to another user");
        }
        if metadata.mode() & 0o022 != 0 {
            return refuse("others can write it");
        }
        if metadata.nlink() != 1 {
            return refuse("it has a second hard link");
        }
        Ok(Some(file))
    }

    /// Maps a regular file that this user published: nobody can write into it.
    ///
    /// # Errors
    /// Returns an error if the file cannot be opened or mapped, or somebody could write into it.
    pub fn map(&self, name: &str) -> Result<Option<Mapped>, Error> {
        let Some(file) = self.open_own(name)? else { return Ok(None) };
        let failed = |source| Error::io("map", self.path_of(name), source);
        if file.metadata().map_err(failed)?.mode() & 0o222 != 0 {
            return Err(self.refuse("map", name, "somebody can write into it"));
        }
        Mapped::of(&file).map(Some).map_err(failed)
    }

    fn open_with(&self, name: &str, flags: OFlags, mode: Mode) -> Result<Option<File>, Error> {
        // Without `NONBLOCK`, opening a FIFO waits for its writer for ever. Regular files do not heed it.
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match fs::openat(&self.fd, component(name), flags, mode) {
            Ok(fd) => File::from(fd),
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(rustix::io::Errno::LOOP) => return Err(self.refuse("open", name, "it is a symbolic link")),
            Err(rustix::io::Errno::NXIO | rustix::io::Errno::ISDIR) => {
                return Err(self.refuse("open", name, "it is not a regular file"));
            }
            Err(error) => return Err(Error::io("open", self.path_of(name), error.into())),
        };
        let metadata = file.metadata().map_err(|source| Error::io("inspect", self.path_of(name), source))?;
        if !metadata.is_file() {
            return Err(self.refuse("open", name, "it is not a regular file"));
        }
        Ok(Some(file))
    }

    /// Reads a regular file of at most `bytes_max` bytes; returns `None` if there is nothing of this name.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, is longer, or is not a regular file.
    pub fn read(&self, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(file) = self.open_file(name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        // One more than allowed tells a longer file from one of that length, whatever its metadata say.
        let read = file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|source| Error::io("read", self.path_of(name), source))?;
        if bytes.len() as u64 > bytes_max {
            return Err(self.refuse("read", name, &format!("it is longer than {bytes_max} bytes")));
        }
        Ok(Some(bytes))
    }

    /// Writes a file atomically: it appears under its name complete, and replaces what has this name.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written, synced or renamed.
    pub fn publish(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let mut file = self.temporary()?;
        file.append(bytes)?;
        file.publish(name)
    }

    /// Writes a file like [`publish`](Self::publish), but keeps what has this name.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written, synced or linked.
    pub fn publish_new(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let mut file = self.temporary()?;
        file.append(bytes)?;
        file.publish_new(name)
    }

    /// Removes a file, or a link to one; returns whether there was something of this name.
    ///
    /// # Errors
    /// Returns an error if it cannot be removed, or is a directory.
    pub fn remove(&self, name: &str) -> Result<bool, Error> {
        match fs::unlinkat(&self.fd, component(name), AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(error) => Err(Error::io("remove", self.path_of(name), error.into())),
        }
    }

    /// Locks a file of this name, which is created if it is missing and whose contents stay; returns `None` if another
    /// process holds the lock. The lock ends with the file that is returned.
    ///
    /// # Errors
    /// Returns an error if the file cannot be opened or locked, or is not a regular file.
    pub fn lock(&self, name: &str) -> Result<Option<File>, Error> {
        let flags = OFlags::RDWR | OFlags::CREATE;
        let file = self.open_with(name, flags, Mode::from_raw_mode(0o600))?;
        let gone = || Error::io("lock", self.path_of(name), io::ErrorKind::NotFound.into());
        let file = file.ok_or_else(gone)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(Error::io("lock", self.path_of(name), source)),
        }
    }

    /// Size of all files whose names begin like this, in bytes.
    pub(crate) fn bytes_of(&self, prefix: &str) -> u64 {
        let names = self.names().unwrap_or_default().into_iter().filter(|name| name.starts_with(prefix));
        let stats = names.filter_map(|name| fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW).ok());
        stats.map(|stat| u64::try_from(stat.st_size).unwrap_or(0)).sum()
    }

    /// Whether this process may create files in the directory.
    pub(crate) fn is_writable(&self) -> bool {
        let wanted = fs::Access::WRITE_OK | fs::Access::EXEC_OK;
        fs::accessat(&self.fd, ".", wanted, AtFlags::EACCESS).is_ok()
    }

    /// Removes temporary files whose writers were killed.
    pub fn sweep_temporary(&self) {
        self.sweep(|name| self.is_abandoned(name));
    }

    /// Removes all temporary files of a directory in which nobody else writes.
    pub fn sweep_all_temporary(&self) {
        self.sweep(|_| true);
    }

    fn sweep(&self, is_abandoned: impl Fn(&str) -> bool) {
        let names = self.names().unwrap_or_default();
        for name in names.iter().filter(|name| name.starts_with(temporary::PREFIX)) {
            // A file that cannot be removed does no harm.
            if is_abandoned(name) && self.remove(name).is_ok() {
                tracing::info!(path = %self.path_of(name).display(), "removed a temporary file of a killed writer");
            }
        }
    }

    fn is_abandoned(&self, name: &str) -> bool {
        let Ok(stat) = fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) else { return false };
        let since_epoch = Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0));
        let age = (SystemTime::UNIX_EPOCH + since_epoch).elapsed();
        age.is_ok_and(|age| age > TEMPORARY_AGE)
    }

    fn refuse(&self, action: &'static str, name: &str, reason: &str) -> Error {
        Error::io(action, self.path_of(name), io::Error::new(io::ErrorKind::InvalidData, reason))
    }
}

/// Returns the name if it is a single component, and else a name that nothing has.
fn component(name: &str) -> &str {
    let is_component = !name.contains(['/', '\0']) && !["", ".", ".."].contains(&name);
    // The kernel answers an empty name with `ENOENT`.
    if is_component { name } else { "" }
}

#[cfg(test)]
mod tests;
