//! The image store: images by digest, and what each bake gave.
//!
//! ```text
//! <state>/images/<sha256>.wasm     an image, read-only
//! <state>/bakes/<sha256>           the digest of the image that a bake with this key gave
//! <state>/native/...               native code, see `native`
//! <state>/srs/...                  reference strings, see `srs`
//! ```
//!
//! Invariant: a name appears only when everything behind it is on disk (temporary file, sync, rename).

use crate::{
    Digest, Error,
    files::{make_private_dir, publish, sweep_temporary},
    image::SealedImage,
    manifest::Manifest,
    srs::SrsStore,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A state directory's images.
pub struct ImageStore {
    images: PathBuf,
    bakes: PathBuf,
    srs: SrsStore,
}

/// An image in the store.
pub struct Stored {
    /// Its name.
    pub digest: Digest,
    /// Size in bytes.
    pub bytes: u64,
    /// What it says of itself, or why that cannot be read.
    pub manifest: Result<Manifest, Error>,
}

impl ImageStore {
    /// Opens the store of a state directory, making it where it is missing.
    ///
    /// # Errors
    /// When a directory cannot be made.
    pub fn open(state_dir: &Path) -> Result<Self, Error> {
        let (images, bakes) = (state_dir.join("images"), state_dir.join("bakes"));
        for dir in [&images, &bakes] {
            make_private_dir(dir)?;
        }
        for dir in ["images", "bakes", "native", "srs"] {
            sweep_temporary(&state_dir.join(dir));
        }
        Ok(Self { images, bakes, srs: SrsStore::open(state_dir)? })
    }

    /// The reference strings beside the images.
    pub(crate) fn srs(&self) -> &SrsStore {
        &self.srs
    }

    /// Where an image is, if it is there.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.images.join(format!("{digest}.wasm"))
    }

    /// Writes an image under its digest.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn publish(&self, image: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::of(image);
        publish(&self.path(&digest), image)?;
        Ok(digest)
    }

    /// Takes in an image that lies elsewhere.
    ///
    /// # Errors
    /// When it is damaged, or cannot be written.
    pub fn import(&self, image: &SealedImage) -> Result<(), Error> {
        if self.path(&image.digest()).exists() {
            return Ok(());
        }
        publish(&self.path(&image.digest()), &image.read_verified()?)
    }

    /// Opens an image by digest.
    ///
    /// # Errors
    /// When it is not there, or its manifest is unreadable.
    pub fn open_image(&self, digest: &Digest) -> Result<SealedImage, Error> {
        let path = self.path(digest);
        if !path.exists() {
            return Err(Error::NoSuchImage(digest.to_string()));
        }
        SealedImage::open_named(&path, *digest)
    }

    /// The digest that a prefix of at least four hexadecimal digits names.
    ///
    /// # Errors
    /// When it names none, or several.
    pub fn resolve(&self, prefix: &str) -> Result<Digest, Error> {
        let fits: Vec<Digest> =
            self.digests()?.into_iter().filter(|digest| digest.to_string().starts_with(prefix)).collect();
        match fits.as_slice() {
            [one] if prefix.len() >= 4 => Ok(*one),
            [] | [_] => Err(Error::NoSuchImage(prefix.into())),
            _ => Err(Error::Ambiguous { prefix: prefix.into(), digests: fits }),
        }
    }

    /// Every image, in the order of the digests.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Stored>, Error> {
        let stored = |digest: Digest| {
            let path = self.path(&digest);
            let bytes = fs::metadata(&path).map_err(|source| Error::io("look at", &path, source))?.len();
            let manifest = SealedImage::open_named(&path, digest).map(|image| image.manifest().clone());
            Ok(Stored { digest, bytes, manifest })
        };
        self.digests()?.into_iter().map(stored).collect()
    }

    /// Removes an image, and the bakes that gave it.
    ///
    /// # Errors
    /// When it is not there, or cannot be removed.
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

    /// The image that a bake with this key gave, if it is still there.
    #[must_use]
    pub fn baked(&self, key: &Digest) -> Option<Digest> {
        let digest = fs::read_to_string(self.bakes.join(key.to_string())).ok()?.trim().parse().ok()?;
        self.path(&digest).exists().then_some(digest)
    }

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
