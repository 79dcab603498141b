//! Native code: compiled once for each image and engine, stored, and mapped at every later start.
//!
//! ```text
//! SealedImage --verify / compile--> VerifiedCode --map--> LoadedImage
//! ```
//!
//! Loading native code means trusting it. The digest of native code is keyed, and the key lies outside the state
//! directory, so a state directory that somebody else filled, for example from an archive, holds no code that would be
//! mapped.
//!
//! Invariant: the file that is mapped is the file that was hashed, it has the digest that was recorded when this user
//! compiled it, and it belongs to this user alone. Anything else is compiled again from the image.

use crate::{
    CopyOnWrite, Digest, Error, calculator_check,
    check::check_image,
    cow,
    digest::NativeDigest,
    dir::Dir,
    image::SealedImage,
    manifest::{ImageKind, Manifest},
    sealed::sealed_memory,
};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, BufReader, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};
use wasmtime::{Engine, Module};

/// Longest record of native code, in bytes.
const RECORD_BYTES_MAX: u64 = 1 << 16;

/// Native code that this host wrote: sealed memory that it filled, or a file whose keyed digest is the recorded one.
struct VerifiedCode(File);

/// An image that can be instantiated.
pub struct LoadedImage {
    /// Digest of the image.
    pub digest: Digest,
    /// Manifest of the image.
    pub manifest: Manifest,
    /// The native code, mapped.
    pub module: Module,
    /// Size of the native code file in bytes, the initial memory included.
    pub native_bytes: u64,
    /// Origin of the native code.
    pub origin: Origin,
}

/// Origin of native code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The cache held it.
    Cached,
    /// It was compiled, and stored in the cache.
    Compiled(Miss),
    /// It was compiled into sealed memory, because the cache cannot be written or is switched off.
    Memory(Miss),
}

/// Why the cache could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// The cache has no code for this image and engine, or is switched off.
    Absent,
    /// The code in the cache must not be mapped, for this reason.
    Unfit(String),
}

/// The record that the cache keeps beside each native code file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    image: Digest,
    engine: String,
    /// Digest of the manifest that was embedded in the image when it was compiled.
    manifest: Digest,
    /// Length of the native code. A file of another length is not hashed.
    bytes: u64,
    code: NativeDigest,
}

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
}

impl NativeCache {
    /// Creates the cache of a state directory. `key_file` holds the key of its digests. If the directory or the key
    /// cannot be created, native code is compiled into sealed memory at every start. `memory_bytes_max` limits the
    /// initial memory of a module, because compiling lays it out.
    #[must_use]
    pub fn open(state_dir: &Path, key_file: &Path, memory_bytes_max: u64) -> Self {
        Self { state_dir: state_dir.into(), key_file: key_file.into(), memory_bytes_max, mode: CacheMode::On }
    }

    /// Switches the cache on or off.
    #[must_use]
    pub fn with_mode(self, mode: CacheMode) -> Self {
        Self { mode, ..self }
    }

    /// The directory of native code, created if it is missing.
    fn dir(&self) -> Result<Dir, Error> {
        Dir::open(&self.state_dir)?.sub("native")
    }

    /// Returns the key, and draws it at the first use.
    fn key(&self) -> Result<[u8; 32], Error> {
        let failed = |source| Error::io("read the key", &self.key_file, source);
        let name = self.key_file.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
        let parent = self.key_file.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let dir = Dir::open(parent)?;
        let read = || -> Result<Option<[u8; 32]>, Error> {
            let Some(file) = dir.open_own(name)? else { return Ok(None) };
            let mut key = [0; 32];
            file.read_exact_at(&mut key, 0).map_err(failed)?;
            Ok(Some(key))
        };
        if let Some(key) = read()? {
            return Ok(key);
        }
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| failed(io::Error::other(error)))?;
        Dir::open_private(parent)?.publish_new(name, &key)?;
        // Another process may have been first: the key is the one on disk.
        read()?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
    }

    /// Loads an image from the cache.
    ///
    /// # Errors
    /// Returns an error if the cache cannot be used for this image.
    pub fn find(&self, engine: &Engine, image: &SealedImage) -> Result<LoadedImage, Miss> {
        let verified = self.verify(engine, image)?;
        let (module, native_bytes) = verified.load(engine).map_err(|error| Miss::Unfit(error.to_string()))?;
        Ok(LoadedImage::of(image, module, native_bytes, Origin::Cached))
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
        if self.mode == CacheMode::Off {
            let (module, native_bytes) = VerifiedCode::seal(&code)?.load(engine)?;
            return Ok(LoadedImage::of(image, module, native_bytes, Origin::Memory(miss)));
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
        verified.load(engine).map(|(module, bytes)| LoadedImage::of(image, module, bytes, origin))
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
        dir.publish(&code_name(engine, &image), code)?;
        let record = Record {
            image,
            engine: fingerprint(engine),
            manifest: manifest.digest(),
            bytes: code.len() as u64,
            code: NativeDigest::of(&key, &of_what(engine, &image, manifest), code),
        };
        let json = serde_json::to_vec(&record).expect("a record has string keys only");
        dir.publish(&record_name(engine, &image), &json)
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

    /// Returns the native code of an image after all checks. The engine may still refuse it if another build compiled
    /// it.
    fn verify(&self, engine: &Engine, image: &SealedImage) -> Result<VerifiedCode, Miss> {
        if self.mode == CacheMode::Off {
            return Err(Miss::Absent);
        }
        let (digest, manifest) = (&image.digest(), image.manifest());
        let unfit = |reason: String| Miss::Unfit(reason);
        let dir = self.dir().map_err(|error| unfit(error.to_string()))?;
        let own = |name: &str| match dir.open_own(name) {
            Ok(Some(file)) => Ok(file),
            Ok(None) => Err(Miss::Absent),
            Err(error) => Err(unfit(error.to_string())),
        };
        let record_file = own(&record_name(engine, digest))?.take(RECORD_BYTES_MAX);
        let record: Record = serde_json::from_reader(BufReader::new(record_file))
            .map_err(|error| unfit(format!("its record is unreadable: {error}")))?;
        if record.image != *digest || record.engine != fingerprint(engine) {
            return Err(unfit("its record belongs to another image or engine".into()));
        }
        if record.manifest != manifest.digest() {
            return Err(unfit("the image has another manifest now".into()));
        }
        let key = self.key().map_err(|error| unfit(error.to_string()))?;
        let code = own(&code_name(engine, digest))?;
        if code.metadata().ok().map(|metadata| metadata.len()) != Some(record.bytes) {
            return Err(unfit("its length differs from the recorded one".into()));
        }
        let found = NativeDigest::of_file(&key, &of_what(engine, digest, manifest), &code)
            .map_err(|error| unfit(error.to_string()))?;
        if found != record.code {
            return Err(unfit("its digest differs from the recorded one".into()));
        }
        Ok(VerifiedCode(code))
    }
}

impl VerifiedCode {
    /// Copies freshly compiled native code into memory that can no longer be written.
    fn seal(code: &[u8]) -> Result<Self, Error> {
        sealed_memory(code).map(Self).map_err(|source| Error::io("create", "sealed memory", source))
    }

    /// Maps the code. Returns the module and the size of the mapped file in bytes.
    fn load(self, engine: &Engine) -> Result<(Module, u64), Error> {
        let metadata = self.0.metadata().map_err(|source| Error::io("inspect", "native code", source))?;
        Ok((map(engine, self)?, metadata.len()))
    }
}

impl LoadedImage {
    fn of(image: &SealedImage, module: Module, native_bytes: u64, origin: Origin) -> Self {
        Self { digest: image.digest(), manifest: image.manifest().clone(), module, native_bytes, origin }
    }

    /// Asks the kernel whether instances map their memory.
    ///
    /// # Errors
    /// Returns an error if an instance cannot be made.
    pub fn copy_on_write(&self) -> Result<CopyOnWrite, Error> {
        cow::probe(&self.module).map_err(Error::engine("make an instance of the image"))
    }
}

/// Compiles an image for an engine.
pub(crate) fn compile(engine: &Engine, image: &[u8]) -> Result<Vec<u8>, Error> {
    engine.precompile_module(image).map_err(Error::engine("compile the image"))
}

/// Loads freshly compiled native code without a file.
pub(crate) fn load_bytes(engine: &Engine, code: &[u8]) -> Result<Module, Error> {
    map(engine, VerifiedCode::seal(code)?)
}

/// Identifies the image and engine that native code belongs to. Digests cover this, so that no record fits another
/// image.
fn of_what(engine: &Engine, image: &Digest, manifest: &Manifest) -> String {
    format!("{image} {} {}", fingerprint(engine), manifest.digest())
}

/// Returns a name for everything that native code depends on: version, target and settings of the engine.
fn fingerprint(engine: &Engine) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Returns the name of the file with the native code of an image for an engine.
fn code_name(engine: &Engine, image: &Digest) -> String {
    format!("{image}-{}.cwasm", fingerprint(engine))
}

/// Returns the name of the record of that file.
fn record_name(engine: &Engine, image: &Digest) -> String {
    format!("{image}-{}.json", fingerprint(engine))
}

#[expect(unsafe_code, reason = "the one place that trusts native code")]
fn map(engine: &Engine, VerifiedCode(code): VerifiedCode) -> Result<Module, Error> {
    // SAFETY: `deserialize_open_file` requires that an engine of this version compiled the file, and that it does not
    // change while it is mapped. `VerifiedCode` is made in two places: from sealed memory that this process filled, and
    // from a file that `Dir::open_own` found to belong to this user alone, whose digest was taken through this
    // descriptor and equals the one recorded when it was compiled. Such a file is never written again under its inode
    // (`Dir::publish` renames over names), and has mode 0400. The engine refuses code of another version or with
    // other settings.
    unsafe { Module::deserialize_open_file(engine, code) }.map_err(Error::engine("map the native code"))
}
