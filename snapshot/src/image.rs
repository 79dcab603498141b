//! An image file that was opened, and whose manifest was read; its body is still unread.
//!
//! Invariant: every access to the file goes through the one descriptor that it was opened with.

use crate::{Digest, Error, MEMORY_BYTES_MAX, manifest::Manifest, manifest_section::ManifestError};
use std::{
    fs::File,
    io::{self, BufReader},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// Longest image file, in bytes: all memory that an instance may have, and as much again for everything else.
const IMAGE_BYTES_MAX: u64 = 2 * MEMORY_BYTES_MAX;

/// An image file whose manifest was read. Its body is checked when it is compiled, and by [`Self::scrub`].
pub struct SealedImage {
    path: PathBuf,
    file: File,
    digest: Digest,
    manifest: Manifest,
}

impl SealedImage {
    /// Opens an image file of any name, and computes its digest.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, or is not an image.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|source| Error::io("open", path, source))?;
        let manifest = manifest(&file, path)?;
        let digest = Digest::of_file(&file).map_err(|source| Error::io("read", path, source))?;
        Ok(Self { path: path.into(), file, digest, manifest })
    }

    /// Takes a file of the store, whose name has its digest, without hashing it.
    pub(crate) fn of_file(file: File, path: &Path, digest: Digest) -> Result<Self, Error> {
        let manifest = manifest(&file, path)?;
        Ok(Self { path: path.into(), file, digest, manifest })
    }

    /// Returns the digest that names the image.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Returns the manifest of the image.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the size of the image in bytes.
    ///
    /// # Errors
    /// Returns an error if the metadata of the file cannot be read.
    pub fn bytes(&self) -> Result<u64, Error> {
        let metadata = self.file.metadata().map_err(|source| Error::io("inspect", &self.path, source))?;
        Ok(metadata.len())
    }

    /// Hashes the whole image again.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, or its digest differs.
    pub fn scrub(&self) -> Result<(), Error> {
        let found = Digest::of_file(&self.file).map_err(|source| Error::io("read", &self.path, source))?;
        self.expect_digest(found)
    }

    /// Returns the image without its manifest, which is the snapshot as it was taken.
    pub(crate) fn module(&self) -> Result<Vec<u8>, Error> {
        let strip = |image: Vec<u8>| Manifest::strip(&image);
        strip(self.read_verified()?).map_err(|source| Error::Manifest { path: self.path.clone(), source })
    }

    /// Reads the whole image and checks its digest.
    pub(crate) fn read_verified(&self) -> Result<Vec<u8>, Error> {
        let read = || {
            let mut bytes = vec![0; usize::try_from(self.file.metadata()?.len()).unwrap_or(usize::MAX)];
            self.file.read_exact_at(&mut bytes, 0)?;
            Ok(bytes)
        };
        let bytes: Vec<u8> = read().map_err(|source| Error::io("read", &self.path, source))?;
        self.expect_digest(Digest::of(&bytes))?;
        Ok(bytes)
    }

    fn expect_digest(&self, found: Digest) -> Result<(), Error> {
        if found == self.digest {
            return Ok(());
        }
        let reason = format!("its SHA-256 is {found}, not {}", self.digest);
        Err(Error::Damaged { path: self.path.clone(), reason })
    }
}

/// Reads the manifest of an image file that is not too long to be an image.
fn manifest(file: &File, path: &Path) -> Result<Manifest, Error> {
    let metadata = file.metadata().map_err(|source| Error::io("inspect", path, source))?;
    if metadata.len() > IMAGE_BYTES_MAX {
        let reason = format!("it is longer than {IMAGE_BYTES_MAX} bytes");
        return Err(Error::Damaged { path: path.into(), reason });
    }
    Manifest::read(BufReader::new(file)).map_err(|source| match source {
        ManifestError::Read(source) if source.kind() != io::ErrorKind::UnexpectedEof => {
            Error::io("read", path, source)
        }
        source => Error::Manifest { path: path.into(), source },
    })
}
