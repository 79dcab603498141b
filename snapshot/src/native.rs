//! Native code: compiled once for each image and engine, stored, and mapped at every later start.
//!
//! ```text
//! SealedImage --verify / compile--> VerifiedCode --map--> LoadedImage
//! ```
//!
//! Loading native code means trusting it. The digest of native code is keyed, and the key lies outside the state
//! directory, so a state directory that somebody else filled, for example from an archive, holds no code that would be
//! mapped. A file whose identity is recorded under the same key need not be read: see `identity` for the argument.
//!
//! Invariant: the file that is mapped is the file that was hashed, now or when its identity was recorded; it has the digest
//! that was recorded when this user compiled it, and it belongs to this user alone. Anything else is compiled again from
//! the image.

use crate::{
    Confirmation, Digest, Error, calculator_check,
    check::check_image,
    dir::Dir,
    image::SealedImage,
    manifest::{ImageKind, Manifest},
    native_check::CheckMode,
    native_code::{LoadedImage, Miss, Origin, VerifiedCode, compile},
    native_key,
    native_record::Subject,
};
use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Instant,
};
use wasmtime::Engine;

/// Whether native code is stored on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheMode {
    /// It is stored, and loaded from there at every later start.
    On,
    /// It is neither stored nor loaded: every start compiles.
    Off,
}

/// Cache of native code in a state directory.
pub struct NativeCache {
    state_dir: PathBuf,
    key_file: PathBuf,
    memory_bytes_max: u64,
    mode: CacheMode,
    check: CheckMode,
    /// Files that were mapped and are still to be hashed.
    confirmations: Mutex<Vec<Confirmation>>,
}

impl NativeCache {
    /// Creates the cache of a state directory. `key_file` holds the key of its digests. If the directory or the key
    /// cannot be created, native code is compiled into sealed memory at every start. `memory_bytes_max` limits the
    /// initial memory of a module, because compiling lays it out.
    #[must_use]
    pub fn open(state_dir: &Path, key_file: &Path, memory_bytes_max: u64) -> Self {
        Self {
            state_dir: state_dir.into(),
            key_file: key_file.into(),
            memory_bytes_max,
            mode: CacheMode::On,
            check: CheckMode::Identity,
            confirmations: Mutex::default(),
        }
    }

    /// Switches the cache on or off.
    #[must_use]
    pub fn with_mode(self, mode: CacheMode) -> Self {
        Self { mode, ..self }
    }

    /// Chooses how native code is checked before it is mapped.
    #[must_use]
    pub fn with_check(self, check: CheckMode) -> Self {
        Self { check, ..self }
    }

    /// Returns what was loaded since the last call and is still to be hashed; nothing if the check is
    /// [`CheckMode::Full`].
    #[must_use]
    pub fn take_confirmations(&self) -> Vec<Confirmation> {
        std::mem::take(&mut self.confirmations.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The directory of native code, created if it is missing.
    fn dir(&self) -> Result<Dir, Error> {
        Dir::open(&self.state_dir)?.sub("native")
    }

    fn key(&self) -> Result<[u8; 32], Error> {
        native_key::load(&self.key_file)
    }

    /// Loads an image from the cache.
    ///
    /// # Errors
    /// Returns an error if the cache cannot be used for this image.
    pub fn find(&self, engine: &Engine, image: &SealedImage) -> Result<LoadedImage, Miss> {
        let begun = Instant::now();
        let verified = self.verify(engine, image)?;
        let loaded = self.map(verified, engine, image, Origin::Cached, begun);
        loaded.map_err(|error| Miss::Unfit(error.to_string()))
    }

    /// Returns whether native code can be stored. Creates the directory and the key if they are missing.
    #[must_use]
    pub fn can_keep(&self) -> bool {
        self.mode == CacheMode::On && self.dir().is_ok_and(|dir| dir.is_writable()) && self.key().is_ok()
    }

    /// Loads an image from the cache, or compiles it.
    ///
    /// # Errors
    /// Returns an error if the image is damaged or cannot be compiled.
    pub fn load(&self, engine: &Engine, image: &SealedImage) -> Result<LoadedImage, Error> {
        self.find(engine, image).or_else(|miss| self.compile(engine, image, miss))
    }

    fn compile(&self, engine: &Engine, image: &SealedImage, miss: Miss) -> Result<LoadedImage, Error> {
        if let Miss::Unfit(reason) = &miss {
            tracing::warn!(image = %image.digest(), reason, "native code does not fit and is compiled again");
        }
        let bytes = image.read_verified()?;
        match image.manifest().kind {
            ImageKind::Calculator => calculator_check::check(&bytes, self.memory_bytes_max)?,
            ImageKind::Service | ImageKind::Circuits { .. } => check_image(&bytes, self.memory_bytes_max)?,
        }
        let code = compile(engine, &bytes)?;
        let begun = Instant::now();
        if self.mode == CacheMode::Off {
            return self.map(VerifiedCode::seal(&code)?, engine, image, Origin::Memory(miss), begun);
        }
        let kept =
            self.keep(engine, image.digest(), image.manifest(), &code).map(|()| self.verify(engine, image));
        let (verified, origin) = match kept {
            Ok(Ok(verified)) => (verified, Origin::Compiled(miss)),
            Ok(Err(again)) => {
                tracing::warn!(image = %image.digest(), reason = ?again, "stored code fails its check");
                (VerifiedCode::seal(&code)?, Origin::Memory(miss))
            }
            Err(error) => {
                tracing::warn!(%error, "native code cannot be stored (see `state_dir`, `native.key_file`): it is compiled into memory");
                (VerifiedCode::seal(&code)?, Origin::Memory(miss))
            }
        };
        self.map(verified, engine, image, origin, begun)
    }

    /// Writes native code and its record.
    pub(crate) fn keep(
        &self,
        engine: &Engine,
        image: Digest,
        manifest: &Manifest,
        code: &[u8],
    ) -> Result<(), Error> {
        if self.mode == CacheMode::Off {
            return Ok(());
        }
        let key = self.key()?;
        let dir = self.dir()?;
        dir.sweep_temporary();
        let subject = Subject::new(engine, image, manifest);
        // One that cannot be removed does not fit the new file.
        let _ = dir.remove(&subject.identity_name());
        dir.publish(&subject.code_name(), code)?;
        dir.publish(&subject.record_name(), &subject.record(&key, manifest, code))
    }

    /// Returns the size of the native code of an image, for every engine, in bytes.
    #[must_use]
    pub fn bytes_of(&self, image: &Digest) -> u64 {
        self.dir().map_or(0, |dir| dir.bytes_of(&format!("{image}-")))
    }

    /// Removes the native code of an image, for every engine.
    ///
    /// # Errors
    /// Returns an error if a file cannot be removed.
    pub fn remove(&self, image: &Digest) -> Result<(), Error> {
        let Ok(dir) = self.dir() else { return Ok(()) };
        let names = dir.names()?.into_iter().filter(|name| name.starts_with(&format!("{image}-")));
        names.map(|name| dir.remove(&name)).try_for_each(|removed| removed.map(drop))
    }

    fn verify(&self, engine: &Engine, image: &SealedImage) -> Result<VerifiedCode, Miss> {
        if self.mode == CacheMode::Off {
            return Err(Miss::Absent);
        }
        let dir = self.dir().map_err(|error| Miss::Unfit(error.to_string()))?;
        VerifiedCode::open(dir, || self.key(), self.check, engine, image)
    }

    /// Maps native code, and remembers that it is still to be hashed.
    fn map(
        &self,
        code: VerifiedCode,
        engine: &Engine,
        image: &SealedImage,
        origin: Origin,
        begun: Instant,
    ) -> Result<LoadedImage, Error> {
        let (loaded, confirmation) = code.load(engine, image, origin, begun)?;
        self.confirmations.lock().unwrap_or_else(PoisonError::into_inner).extend(confirmation);
        Ok(loaded)
    }
}
