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

use crate::{
    Digest, Error,
    files::{make_private_dir, publish, sweep_temporary},
    image::SealedImage,
    manifest::Manifest,
    references::ReferenceStore,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The images of a state directory.
pub struct ImageStore {
    images: PathBuf,
    bakes: PathBuf,
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
        let (images, bakes) = (state_dir.join("images"), state_dir.join("bakes"));
        for dir in [&images, &bakes] {
            make_private_dir(dir)?;
        }
        for dir in ["images", "bakes", "native", "srs"] {
            sweep_temporary(&state_dir.join(dir));
        }
        Ok(Self { images, bakes, references: ReferenceStore::open(state_dir)? })
    }

    /// Returns the store of reference strings in the same state directory.
    #[must_use]
    pub fn references(&self) -> &ReferenceStore {
        &self.references
    }

    /// Returns the path of an image. The store need not have the image.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.images.join(format!("{digest}.wasm"))
    }

    /// Writes an image under its digest, and returns the digest.
    ///
    /// # Errors
    /// Returns an error if the image cannot be written.
    pub fn publish(&self, image: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::of(image);
        publish(&self.path(&digest), image)?;
        Ok(digest)
    }

    /// Copies an image from elsewhere into the store.
    ///
    /// # Errors
    /// Returns an error if the image is damaged, or cannot be written.
    pub fn import(&self, image: &SealedImage) -> Result<(), Error> {
        if self.path(&image.digest()).exists() {
            return Ok(());
        }
        publish(&self.path(&image.digest()), &image.read_verified()?)
    }

    /// Opens an image by digest.
    ///
    /// # Errors
    /// Returns an error if the store does not have the image, or its manifest cannot be read.
    pub fn open_image(&self, digest: &Digest) -> Result<SealedImage, Error> {
        let path = self.path(digest);
        if !path.exists() {
            return Err(Error::NoSuchImage(digest.to_string()));
        }
        SealedImage::open_named(&path, *digest)
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
            let path = self.path(&digest);
            let bytes = fs::metadata(&path).map_err(|source| Error::io("inspect", &path, source))?.len();
            let manifest = SealedImage::open_named(&path, digest).map(|image| image.manifest().clone());
            Ok(Stored { digest, bytes, manifest })
        };
        self.digests()?.into_iter().map(stored).collect()
    }

    /// Removes an image, and the records of the bakes that made it.
    ///
    /// # Errors
    /// Returns an error if the store does not have the image, or cannot remove it.
    pub fn remove(&self, digest: &Digest) -> Result<(), Error> {
        for entry in entries(&self.bakes)? {
            if fs::read_to_string(&entry).is_ok_and(|text| text.trim() == digest.to_string()) {
                fs::remove_file(&entry).map_err(|source| Error::io("remove", &entry, source))?;
            }
        }
        let path = self.path(digest);
        fs::remove_file(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::NoSuchImage(digest.to_string()),
            _ => Error::io("remove", &path, source),
        })
    }

    /// Returns the image that a bake with this key made, if the store still has it.
    #[must_use]
    pub fn baked(&self, key: &Digest) -> Option<Digest> {
        let digest = fs::read_to_string(self.bakes.join(key.to_string())).ok()?.trim().parse().ok()?;
        self.path(&digest).exists().then_some(digest)
    }

    /// Records the image that a bake made.
    pub(crate) fn remember_bake(&self, key: &Digest, digest: &Digest) -> Result<(), Error> {
        publish(&self.bakes.join(key.to_string()), digest.to_string().as_bytes())
    }

    fn digests(&self) -> Result<Vec<Digest>, Error> {
        let mut digests: Vec<Digest> = entries(&self.images)?
            .iter()
            .filter_map(|path| path.file_name()?.to_str()?.strip_suffix(".wasm")?.parse().ok())
            .collect();
        digests.sort_unstable();
        Ok(digests)
    }
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(|source| Error::io("list", dir, source))
}
