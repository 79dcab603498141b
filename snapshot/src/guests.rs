//! The guests that this binary carries, and guests read from files.

use crate::{Digest, Error, SealedImage, TrialCall, manifest::Manifest};
use std::{borrow::Cow, fs, path::Path};

/// A guest: a core module before its bake, named by the digest of its bytes.
#[derive(Clone)]
pub struct Guest {
    /// What people call it.
    pub name: Cow<'static, str>,
    /// One line on what it is.
    pub about: Cow<'static, str>,
    /// SHA-256 of the module.
    pub digest: Digest,
    /// The module.
    pub wasm: Cow<'static, [u8]>,
    /// The call that a bake tries, unless it is given another.
    pub trial: Option<TrialCall>,
    /// The image that stands in for the guest, where a bake goes on from one.
    pub base: Option<Base>,
}

/// An image that a bake goes on from.
#[derive(Clone)]
pub struct Base {
    /// The image.
    pub digest: Digest,
    /// What it says of itself.
    pub manifest: Manifest,
}

impl Guest {
    /// The embedded guest of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        Self::all().iter().find(|guest| guest.name == name)
    }

    /// Every embedded guest.
    #[must_use]
    pub fn all() -> &'static [Self] {
        embedded::EMBEDDED
    }

    /// Reads a guest from a file; its name is the file's, without the ending.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let wasm = fs::read(path).map_err(|source| Error::io("read the guest", path, source))?;
        let name =
            path.file_stem().map_or_else(|| "guest".into(), |stem| stem.to_string_lossy().into_owned());
        let digest = Digest::of(&wasm);
        Ok(Self { name: name.into(), about: "".into(), digest, wasm: wasm.into(), trial: None, base: None })
    }

    /// An image as a guest: a bake of it goes on where that of the image ended.
    ///
    /// # Errors
    /// When the image cannot be read, or is damaged.
    pub fn of_image(image: &SealedImage) -> Result<Self, Error> {
        let manifest = image.manifest().clone();
        let wasm = image.module()?;
        let base = Base { digest: image.digest(), manifest };
        let name = base.manifest.guest.name.clone().into();
        let digest = base.manifest.guest.digest;
        Ok(Self { name, about: "".into(), digest, wasm: wasm.into(), trial: None, base: Some(base) })
    }
}

mod embedded {
    use super::{Cow, Guest, TrialCall};
    use crate::Digest;

    include!(concat!(env!("OUT_DIR"), "/guests.rs"));
}
