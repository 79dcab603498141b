//! An image file: opened, its manifest read, its body still unread.
//!
//! Invariant: every look at the file goes through the one descriptor that it was opened with.

use crate::{
    Digest, Error,
    manifest::{Manifest, ManifestError},
};
use std::{
    fs::File,
    io::{self, BufReader},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// An image file whose manifest was read. Its body is checked when it is compiled, and by [`Self::scrub`].
pub struct SealedImage {
    path: PathBuf,
    file: File,
    digest: Digest,
    manifest: Manifest,
}

impl SealedImage {
    /// Opens an image file of any name, and hashes it for its own.
    ///
    /// # Errors
    /// When it cannot be read, or is not an image.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let (file, manifest) = open(path)?;
        let digest = Digest::of_file(&file).map_err(|source| Error::io("read", path, source))?;
        Ok(Self { path: path.into(), file, digest, manifest })
    }

    pub(crate) fn open_named(path: &Path, digest: Digest) -> Result<Self, Error> {
        let (file, manifest) = open(path)?;
        Ok(Self { path: path.into(), file, digest, manifest })
    }

    /// The image's name.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What the image says of itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Size of the image in bytes.
    ///
    /// # Errors
    /// When the file cannot be looked at.
    pub fn bytes(&self) -> Result<u64, Error> {
        let metadata = self.file.metadata().map_err(|source| Error::io("look at", &self.path, source))?;
        Ok(metadata.len())
    }

    /// Hashes the whole image again.
    ///
    /// # Errors
    /// When it does not have its digest.
    pub fn scrub(&self) -> Result<(), Error> {
        let found = Digest::of_file(&self.file).map_err(|source| Error::io("read", &self.path, source))?;
        self.expect_digest(found)
    }

    /// The image without its manifest, as it was snapshotted.
    pub(crate) fn module(&self) -> Result<Vec<u8>, Error> {
        let strip = |image: Vec<u8>| Manifest::strip(&image);
        strip(self.read_verified()?).map_err(|source| Error::Manifest { path: self.path.clone(), source })
    }

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

fn open(path: &Path) -> Result<(File, Manifest), Error> {
    let file = File::open(path).map_err(|source| Error::io("open", path, source))?;
    let manifest = Manifest::read(BufReader::new(&file)).map_err(|source| match source {
        ManifestError::Read(source) if source.kind() != io::ErrorKind::UnexpectedEof => {
            Error::io("read", path, source)
        }
        source => Error::Manifest { path: path.into(), source },
    })?;
    Ok((file, manifest))
}
