//! The files of a circuit while they arrive: each is written to disk and hashed piece by piece, and read through a mapping
//! afterwards.
//!
//! Invariant: a file that is not stored in the end leaves nothing behind, whatever happens to its sender.

use snapback_snapshot::{
    Digest, Dir, Error, Hasher, TemporaryFile,
    proof_systems::{CircuitFiles, FileKind},
};
use std::collections::BTreeMap;

/// A file that arrives.
pub struct Incoming {
    file: TemporaryFile,
    hasher: Hasher,
}

impl Incoming {
    /// Creates an empty file in a directory.
    ///
    /// # Errors
    /// Returns an error if it cannot be created.
    pub fn new(dir: &Dir) -> Result<Self, Error> {
        Ok(Self { file: dir.temporary()?, hasher: Hasher::default() })
    }

    /// Appends the next piece.
    ///
    /// # Errors
    /// Returns an error if it cannot be written.
    pub fn append(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.hasher.update(piece);
        self.file.append(piece)
    }

    /// Ends the file.
    #[must_use]
    pub fn end(self) -> Received {
        Received { file: self.file, digest: self.hasher.digest() }
    }
}

/// A file that has arrived, and has a temporary name on disk.
pub struct Received {
    file: TemporaryFile,
    pub(super) digest: Digest,
}

impl Received {
    pub(super) fn into_file(self) -> TemporaryFile {
        self.file
    }
}

/// The files of a circuit that have arrived.
#[derive(Default)]
pub struct Upload {
    files: CircuitFiles,
    received: BTreeMap<FileKind, Received>,
}

impl Upload {
    /// Adds a file. Returns whether it is the first of its kind; another one is not added.
    ///
    /// # Errors
    /// Returns an error if the file cannot be mapped.
    pub fn insert(&mut self, kind: FileKind, received: Received) -> Result<bool, Error> {
        if self.received.contains_key(&kind) {
            return Ok(false);
        }
        self.files.insert(kind.clone(), received.file.map()?);
        self.received.insert(kind, received);
        Ok(true)
    }

    /// Returns the files.
    #[must_use]
    pub fn files(&self) -> &CircuitFiles {
        &self.files
    }

    /// Returns each file, to be stored.
    pub(super) fn into_received(self) -> impl Iterator<Item = (FileKind, Received)> {
        self.received.into_iter()
    }
}
