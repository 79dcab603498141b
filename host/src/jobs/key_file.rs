//! Loads keys from their files: the sealing key of the jobs, and the one from which the secrets of webhooks come.
//!
//! Invariant: a key that is used was read from a regular file outside the state directory that only its owner can read.

use super::{JobError, KeyFileError, SealingKey};
use rustix::fs::{self, FileType, Mode, OFlags};
use std::{
    fs::{DirBuilder, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;

/// A key as it is read.
type Key = Zeroizing<[u8; KEY_BYTES]>;

impl SealingKey {
    /// Loads the key as [`load_key`] does.
    ///
    /// # Errors
    /// Returns an error if [`load_key`] does.
    pub fn load(path: &Path, state_dir: &Path) -> Result<Self, JobError> {
        Ok(Self::from_zeroizing(load_key(path, state_dir)?))
    }

    /// Reads the key like [`load`](Self::load), and returns `None` if there is no file.
    ///
    /// # Errors
    /// Returns the errors of [`load`](Self::load), except those of creating the file.
    pub(crate) fn find(path: &Path, state_dir: &Path) -> Result<Option<Self>, JobError> {
        Ok(find_key(path, state_dir)?.map(Self::from_zeroizing))
    }
}

/// Reads a key of 32 bytes from a file, and creates the file with a random key, and its directory, if there is none.
///
/// # Errors
/// Returns an error if the file is in the state directory, can be read by anyone but its owner, does not have 32 bytes, or
/// cannot be read or created.
pub fn load_key(path: &Path, state_dir: &Path) -> Result<Key, KeyFileError> {
    if let Some(key) = find_key(path, state_dir)? {
        return Ok(key);
    }
    let refused = |reason: &str| KeyFileError { path: path.into(), reason: reason.into() };
    let failed = |error: &io::Error| refused(&error.to_string());
    let parent = parent_of(path);
    let created = DirBuilder::new().recursive(true).mode(0o700).create(parent);
    created.and_then(|()| create(path, parent)).map_err(|error| failed(&error))?;
    read(path, &refused).map_err(|read| match read {
        Read::Missing => refused("it was removed while it was created"),
        Read::Refused(error) => error,
    })
}

/// Reads a key like [`load_key`], and returns `None` if there is no file.
fn find_key(path: &Path, state_dir: &Path) -> Result<Option<Key>, KeyFileError> {
    let refused = |reason: &str| KeyFileError { path: path.into(), reason: reason.into() };
    if nearest_canonical(parent_of(path)).starts_with(nearest_canonical(state_dir)) {
        return Err(refused(
            "it is in the state directory, whose copies would contain it: keep it elsewhere",
        ));
    }
    match read(path, &refused) {
        Err(Read::Missing) => Ok(None),
        Err(Read::Refused(error)) => Err(error),
        Ok(key) => Ok(Some(key)),
    }
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn read(path: &Path, refused: &dyn Fn(&str) -> KeyFileError) -> Result<Key, Read> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match fs::open(path, flags, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => return Err(Read::Missing),
        opened => opened.map_err(|error| Read::Refused(refused(&error.to_string())))?,
    };
    let status = fs::fstat(&file).map_err(|error| Read::Refused(refused(&error.to_string())))?;
    if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
        return Err(Read::Refused(refused("it is not a regular file")));
    }
    if status.st_mode & 0o077 != 0 {
        return Err(Read::Refused(refused("others than its owner can use it: set its mode to 0600")));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_BYTES + 1));
    let read = File::from(file).take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| Read::Refused(refused(&error.to_string())))?;
    let key = <[u8; KEY_BYTES]>::try_from(&bytes[..]).map(Zeroizing::new);
    key.map_err(|_| Read::Refused(refused("it does not have exactly 32 bytes")))
}

/// Creates the file complete, under a temporary name first. A file that was created meanwhile is kept.
fn create(path: &Path, parent: &Path) -> io::Result<()> {
    let mut key = Zeroizing::new([0u8; KEY_BYTES]);
    getrandom::fill(&mut *key).expect("the operating system provides entropy");
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let temporary = PathBuf::from(name);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(fs::open(&temporary, flags, Mode::from_raw_mode(0o600))?);
    let written = file.write_all(&*key).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| std::fs::hard_link(&temporary, path));
    std::fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => File::open(parent)?.sync_all(),
    }
}

/// Why no key was read.
enum Read {
    Missing,
    Refused(KeyFileError),
}

/// The path without links, as far as it exists.
fn nearest_canonical(path: &Path) -> PathBuf {
    match (path.canonicalize(), path.parent(), path.file_name()) {
        (Ok(path), ..) => path,
        (Err(_), Some(parent), Some(name)) if !parent.as_os_str().is_empty() => {
            nearest_canonical(parent).join(name)
        }
        (Err(_), _, _) => std::path::absolute(path).unwrap_or_else(|_| path.into()),
    }
}
