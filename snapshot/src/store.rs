//! The image store: images by digest, and the image that each bake made.
//!
//! ```text
//! <state>/images/<sha256>.wasm     an image, read-only
//! <state>/bakes/<sha256>           the digest of the image that the bake with this key made
//! <state>/native/...               native code, see `native`
//! <state>/srs/...                  reference strings, see `references`
//! ```
//!
//! Invariant: a name appears only when the whole file is on disk (temporary file, sync, rename).

use crate::{Digest, Error, dir::Dir, image::SealedImage, manifest::Manifest, references::ReferenceStore};
use std::path::{Path, PathBuf};

/// Longest record of a bake, in bytes: a digest and white space.
const RECORD_BYTES_MAX: u64 = 1 << 10;

/// Directories of a state directory that a bake writes into.
pub const BAKE_DIRECTORIES: [&str; 4] = ["images", "bakes", "native", "srs"];

/// The images of a state directory.
pub struct ImageStore {
    images: Dir,
    bakes: Dir,
    references: ReferenceStore,
}

/// An image in the store.
pub struct Stored {
    /// Digest of the image.
    pub digest: Digest,
    /// Size of the image in bytes.
    pub bytes: u64,
    /// Manifest of the image, or the error if it cannot be read.
    pub manifest: Result<Manifest, Error>,
}

impl ImageStore {
    /// Opens the store of a state directory, and creates it if it is missing.
    ///
    /// # Errors
    /// Returns an error if a directory cannot be created, or others can write into it.
    pub fn open(state_dir: &Path) -> Result<Self, Error> {
        let state = Dir::open(state_dir)?;
        let store = Self {
            images: state.sub("images")?,
            bakes: state.sub("bakes")?,
            references: ReferenceStore::open(&state)?,
        };
        store.images.sweep_temporary();
        store.bakes.sweep_temporary();
        Ok(store)
    }

    /// Returns the store of reference strings in the same state directory.
    #[must_use]
    pub fn references(&self) -> &ReferenceStore {
        &self.references
    }

    /// Returns the path of an image. The store need not have the image.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.images.path_of(&name_of(digest))
    }

    /// Returns the size of an image in bytes; zero if the store lacks it.
    #[must_use]
    pub fn bytes_of(&self, digest: &Digest) -> u64 {
        self.images.bytes_of(&name_of(digest))
    }

    /// Writes an image under its digest, and returns the digest.
    ///
    /// # Errors
    /// Returns an error if the image cannot be written.
    pub fn publish(&self, image: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::of(image);
        self.images.publish(&name_of(&digest), image)?;
        Ok(digest)
    }

    /// Copies an image from elsewhere into the store.
    ///
    /// # Errors
    /// Returns an error if the image is damaged, or cannot be written.
    pub fn import(&self, image: &SealedImage) -> Result<(), Error> {
        if self.contains(&image.digest()) {
            return Ok(());
        }
        self.images.publish(&name_of(&image.digest()), &image.read_verified()?)
    }

    /// Returns whether the store has an image.
    #[must_use]
    pub fn contains(&self, digest: &Digest) -> bool {
        self.images.contains(&name_of(digest))
    }

    /// Opens an image by digest.
    ///
    /// # Errors
    /// Returns an error if the store does not have the image, or its manifest cannot be read.
    pub fn open_image(&self, digest: &Digest) -> Result<SealedImage, Error> {
        let file = self.images.open_file(&name_of(digest))?;
        let file = file.ok_or_else(|| Error::NoSuchImage(digest.to_string()))?;
        SealedImage::of_file(file, &self.path(digest), *digest)
    }

    /// Returns the digest that begins with a prefix of at least four hexadecimal digits.
    ///
    /// # Errors
    /// Returns an error if the prefix is shorter, or matches no image or several.
    pub fn resolve(&self, prefix: &str) -> Result<Digest, Error> {
        let fits: Vec<Digest> =
            self.digests()?.into_iter().filter(|digest| digest.to_string().starts_with(prefix)).collect();
        match fits.as_slice() {
            [one] if prefix.len() >= 4 => Ok(*one),
            [] | [_] => Err(Error::NoSuchImage(prefix.into())),
            _ => Err(Error::Ambiguous { prefix: prefix.into(), digests: fits }),
        }
    }

    /// Returns every image, in the order of the digests.
    ///
    /// # Errors
    /// Returns an error if the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Stored>, Error> {
        let stored = |digest: Digest| {
            let file = self.images.open_file(&name_of(&digest)).ok().flatten();
            let bytes = file.and_then(|file| file.metadata().ok()).map_or(0, |metadata| metadata.len());
            Stored { digest, bytes, manifest: self.open_image(&digest).map(|image| image.manifest().clone()) }
        };
        Ok(self.digests()?.into_iter().map(stored).collect())
    }

    /// Removes an image, and the records of the bakes that made it.
    ///
    /// # Errors
    /// Returns an error if the store does not have the image, or cannot remove it.
    pub fn remove(&self, digest: &Digest) -> Result<(), Error> {
        for key in self.bakes.names()?.iter().filter_map(|name| name.parse::<Digest>().ok()) {
            if self.recorded(&key) == Some(*digest) {
                self.bakes.remove(&key.to_string())?;
            }
        }
        if self.images.remove(&name_of(digest))? {
            Ok(())
        } else {
            Err(Error::NoSuchImage(digest.to_string()))
        }
    }

    /// Returns the image that a bake with this key made, if the store still has it and `is_made` confirms that the
    /// image is what was asked for. The record is a file that anybody may have put into a state directory.
    #[must_use]
    pub(crate) fn baked(&self, key: &Digest, is_made: impl FnOnce(&Manifest) -> bool) -> Option<Digest> {
        let digest = self.recorded(key)?;
        let image = match self.open_image(&digest) {
            Ok(image) => image,
            Err(Error::NoSuchImage(_)) => return None,
            // Whoever opens the image learns that it is damaged; baking again would hide it.
            Err(_) => return Some(digest),
        };
        if !is_made(image.manifest()) {
            let record = self.bakes.path_of(&key.to_string());
            tracing::warn!(record = %record.display(), image = %digest, "the record of a bake names an image that another bake made, and is ignored");
            return None;
        }
        Some(digest)
    }

    /// Records the image that a bake made.
    pub(crate) fn remember_bake(&self, key: &Digest, digest: &Digest) -> Result<(), Error> {
        self.bakes.publish(&key.to_string(), digest.to_string().as_bytes())
    }

    fn recorded(&self, key: &Digest) -> Option<Digest> {
        let record = self.bakes.read(&key.to_string(), RECORD_BYTES_MAX);
        let record =
            record.inspect_err(|error| tracing::warn!(%error, "the record of a bake cannot be read"));
        parse_record(&record.ok()??)
    }

    fn digests(&self) -> Result<Vec<Digest>, Error> {
        let names = self.images.names()?;
        let digests = names.iter().filter_map(|name| name.strip_suffix(".wasm")?.parse().ok());
        Ok(digests.collect())
    }
}

/// Reads the record of a bake: the digest of its image.
#[must_use]
pub fn parse_record(record: &[u8]) -> Option<Digest> {
    std::str::from_utf8(record).ok()?.trim().parse().ok()
}

fn name_of(digest: &Digest) -> String {
    format!("{digest}.wasm")
}
