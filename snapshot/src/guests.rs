//! The guests that this binary carries, and guests read from files.

use crate::{Digest, Error};
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
}

impl Guest {
    const fn embedded(name: &'static str, about: &'static str, digest: Digest, wasm: &'static [u8]) -> Self {
        Self { name: Cow::Borrowed(name), about: Cow::Borrowed(about), digest, wasm: Cow::Borrowed(wasm) }
    }

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
        Ok(Self { name: name.into(), about: "".into(), digest: Digest::of(&wasm), wasm: wasm.into() })
    }
}

mod embedded {
    use super::Guest;
    use crate::Digest;

    include!(concat!(env!("OUT_DIR"), "/guests.rs"));
}
