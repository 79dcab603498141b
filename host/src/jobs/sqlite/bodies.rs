//! Sealed bodies and results: where they are, and the files of those that are too large for the database.
//!
//! ```text
//! <directory>/bodies/<BLAKE3 of the sealed bytes>    a sealed body or result
//! <directory>/bodies/.tmp-<random>                   one that is being written
//! ```
//!
//! Invariant: a file has its name, and is durable, before a row names it, and is removed only after no row names it.

use crate::jobs::{
    JobError, JobId,
    seal::{HEADER_BYTES, Seal, Sealed},
};
use rustix::fs::{Mode, OFlags};
use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};
use zeroize::Zeroizing;

/// The directory of files.
pub(super) struct Bodies {
    dir: PathBuf,
    /// Files that may be there without a row that names them.
    pending: Mutex<HashSet<String>>,
}

/// A sealed value that is to be stored.
pub(super) enum Prepared {
    /// In the database.
    Inline(Vec<u8>),
    /// In a file, which is removed again unless it is kept.
    File(PendingFile),
}

/// A sealed value that is stored.
#[derive(Clone)]
pub(super) enum Place {
    /// In the database.
    Inline(Vec<u8>),
    /// In the file with this name.
    File(String),
}

/// A file that no row names yet.
pub(super) struct PendingFile {
    bodies: Arc<Bodies>,
    name: String,
    is_kept: bool,
}

impl PendingFile {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Keeps the file: a row names it now.
    pub(super) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        if !self.is_kept {
            // What cannot be removed is an orphan, which a sweep finds.
            let _ = self.bodies.remove(&self.name);
        }
        self.bodies.pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

impl Bodies {
    /// Takes a directory that exists.
    pub(super) fn new(dir: PathBuf) -> Arc<Self> {
        Arc::new(Self { dir, pending: Mutex::default() })
    }

    /// Seals a value, and writes it to a file if it is longer than `inline_bytes_max`.
    pub(super) fn prepare(
        self: &Arc<Self>,
        seal: &Seal,
        job: JobId,
        what: Sealed,
        mut value: Zeroizing<Vec<u8>>,
        inline_bytes_max: u64,
    ) -> Result<Prepared, JobError> {
        let header = seal.seal(job, what, &mut value);
        if value.len() as u64 <= inline_bytes_max {
            return Ok(Prepared::Inline([&header[..], &value].concat()));
        }
        Ok(Prepared::File(self.write(&header, &value)?))
    }

    /// Opens a sealed value.
    pub(super) fn open(
        &self,
        seal: &Seal,
        job: JobId,
        what: Sealed,
        place: Place,
    ) -> Result<Zeroizing<Vec<u8>>, JobError> {
        let damaged = || JobError::Damaged { what: what.name() };
        let (header, mut value) = match place {
            Place::Inline(mut sealed) => {
                let header = *sealed.first_chunk::<HEADER_BYTES>().ok_or_else(damaged)?;
                (header, Zeroizing::new(sealed.split_off(HEADER_BYTES)))
            }
            Place::File(name) => {
                if !is_name(&name) {
                    return Err(damaged());
                }
                let gone_or = |error: io::Error| match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => damaged(),
                    _ => error.into(),
                };
                let mut file = File::open(self.dir.join(name)).map_err(gone_or)?;
                let mut header = [0; HEADER_BYTES];
                file.read_exact(&mut header).map_err(gone_or)?;
                let length = file.metadata()?.len().saturating_sub(HEADER_BYTES as u64);
                let mut value = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or(0)));
                file.take(length).read_to_end(&mut value)?;
                (header, value)
            }
        };
        seal.open(job, what, &header, &mut value)?;
        Ok(value)
    }

    fn write(self: &Arc<Self>, header: &[u8], value: &[u8]) -> io::Result<PendingFile> {
        let mut hasher = blake3::Hasher::new();
        let name = hasher.update(header).update(value).finalize().to_hex().to_string();
        let mut random = [0u8; 8];
        getrandom::fill(&mut random).expect("the operating system provides entropy");
        let temporary = format!(".tmp-{:016x}", u64::from_be_bytes(random));
        let mut pending = self.pending(temporary);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = self.dir.join(&pending.name);
        let mut file = File::from(rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600))?);
        file.write_all(header)?;
        file.write_all(value)?;
        file.sync_all()?;
        let named = self.pending(name);
        fs::rename(&path, self.dir.join(&named.name))?;
        pending.is_kept = true;
        File::open(&self.dir)?.sync_all()?;
        Ok(named)
    }

    fn pending(self: &Arc<Self>, name: String) -> PendingFile {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        PendingFile { bodies: Arc::clone(self), name, is_kept: false }
    }

    /// Removes a file that no row names. One that is not there is removed already.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Names of files that are orphans unless a row names them by now. Files of others are left alone.
    pub(super) fn suspects(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            names.extend(
                name.to_str().filter(|name| is_name(name) || name.starts_with(".tmp-")).map(str::to_owned),
            );
        }
        // After the directory was read: a file that is in it and not pending was committed before, or never will be.
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        names.retain(|name| !pending.contains(name));
        Ok(names)
    }
}

/// Whether a file can have been made by [`Bodies::write`].
fn is_name(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
