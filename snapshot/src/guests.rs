//! The guests that are embedded in this binary, and guests that are read from files.

use crate::{Digest, Error, SealedImage, Simd, TrialCall, manifest::Manifest};
use std::{borrow::Cow, fs, path::Path};

/// A guest: a core module before its bake, named by the digest of its bytes.
#[derive(Clone)]
pub struct Guest {
    /// Name of the guest.
    pub name: Cow<'static, str>,
    /// Description of the guest in one line.
    pub about: Cow<'static, str>,
    /// SHA-256 of the module.
    pub digest: Digest,
    /// Bytes of the module.
    pub wasm: Cow<'static, [u8]>,
    /// The trial call of a bake, unless the bake is given another.
    pub trial: Option<TrialCall>,
    /// How many calls an instance serves, unless settings say otherwise.
    pub instances: InstanceUse,
    /// The image that a bake starts from instead of the guest, if it starts from one.
    pub base: Option<Base>,
}

/// How many calls an instance of a guest serves. Only embedded guests have other than one: a guest of somebody else does not
/// decide that what a call leaves behind is there for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceUse {
    /// One: nothing of a call is left for another.
    Once,
    /// As many as its memory admits: calls are short and keep no secrets.
    Many,
}

/// An image that a bake starts from.
#[derive(Clone)]
pub struct Base {
    /// Digest of the image.
    pub digest: Digest,
    /// Manifest of the image.
    pub manifest: Manifest,
}

impl Guest {
    /// Returns the embedded guest of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        Self::all().iter().find(|guest| guest.name == name)
    }

    /// Returns the build of an embedded guest with vectors, or the one without. `None` if the guest has one build only.
    #[must_use]
    pub fn build(name: &str, simd: Simd) -> Option<&'static Self> {
        let without = embedded::WITHOUT_SIMD.iter().find(|guest| guest.name == name)?;
        match simd {
            Simd::On => Self::find(name),
            Simd::Off => Some(without),
        }
    }

    /// Returns every embedded guest, each in the build that is used unless another is asked for.
    #[must_use]
    pub fn all() -> &'static [Self] {
        embedded::EMBEDDED
    }

    /// Returns the embedded guest with this digest, in either build.
    #[must_use]
    pub fn embedded(digest: &Digest) -> Option<&'static Self> {
        Self::all().iter().chain(embedded::WITHOUT_SIMD).find(|guest| guest.digest == *digest)
    }

    /// Reads a guest from a file. Its name is that of the file without the extension.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let wasm = fs::read(path).map_err(|source| Error::io("read the guest", path, source))?;
        let name =
            path.file_stem().map_or_else(|| "guest".into(), |stem| stem.to_string_lossy().into_owned());
        let digest = Digest::of(&wasm);
        let instances = InstanceUse::Once;
        Ok(Self {
            name: name.into(),
            about: "".into(),
            digest,
            wasm: wasm.into(),
            trial: None,
            instances,
            base: None,
        })
    }

    /// Turns an image into a guest, so that a bake continues where the bake of the image ended.
    ///
    /// # Errors
    /// Returns an error if the image cannot be read, or is damaged.
    pub fn of_image(image: &SealedImage) -> Result<Self, Error> {
        let manifest = image.manifest().clone();
        let wasm = image.module()?;
        let base = Base { digest: image.digest(), manifest };
        let name = base.manifest.guest.name.clone().into();
        let digest = base.manifest.guest.digest;
        let instances = Self::embedded(&digest).map_or(InstanceUse::Once, |guest| guest.instances);
        let base = Some(base);
        Ok(Self { name, about: "".into(), digest, wasm: wasm.into(), trial: None, instances, base })
    }
}

mod embedded {
    use super::{Cow, Guest, InstanceUse, TrialCall};
    use crate::Digest;

    include!(concat!(env!("OUT_DIR"), "/guests.rs"));
}
