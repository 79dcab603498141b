//! Native code: compiled once per image and engine, kept, and mapped at every later start.
//!
//! ```text
//! SealedImage --look / compile--> VerifiedCode --map--> LoadedImage
//! ```
//!
//! Loading native code is trusting it. Invariant: what is mapped is the very file that was hashed, it has the
//! digest that was recorded when this user compiled it, and it belongs to this user alone; anything else is
//! compiled again from the image. The digest is keyed, and the key lies outside the state directory: a state
//! directory that somebody else filled (unpacked from an archive, say) holds no code that would be mapped.

use crate::{
    CopyOnWrite, Digest, Error, calculators,
    check::check_image,
    cow,
    digest::NativeDigest,
    files::{make_private_dir, publish, publish_new},
    image::SealedImage,
    manifest::Manifest,
};
use memfd::{FileSeal, MemfdOptions};
use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, accessat};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, BufReader, Write},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};
use wasmtime::{Engine, Module};

/// Native code that this host vouches for: sealed memory it filled, or a file it hashed and found to be its own.
struct VerifiedCode(File);

/// An image that can be instantiated.
pub struct LoadedImage {
    /// The image's name.
    pub digest: Digest,
    /// What it says of itself.
    pub manifest: Manifest,
    /// Its native code, mapped.
    pub module: Module,
    /// Size of the native code file, the initial memory included.
    pub native_bytes: u64,
    /// Where the native code came from.
    pub origin: Origin,
}

/// Where native code came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The cache had it.
    Cached,
    /// It was compiled, and kept in the cache.
    Compiled(Miss),
    /// It was compiled into sealed memory, because the cache cannot be written.
    Memory(Miss),
}

/// Why the cache did not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// It has nothing for this image and engine.
    Absent,
    /// What it has must not be mapped.
    Unfit(String),
}

/// What the cache records of one native code file, beside it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    image: Digest,
    engine: String,
    /// Of the manifest that was embedded in the image when it was compiled.
    manifest: Digest,
    code: NativeDigest,
}

/// The native code of a state directory.
pub struct NativeCache {
    dir: PathBuf,
    key_file: PathBuf,
    memory_bytes_max: u64,
}

impl NativeCache {
    /// The cache of a state directory, with the file that holds the key of its digests. A directory or a key
    /// that cannot be made is no error: native code then lives in sealed memory, and is compiled at every start.
    /// `memory_bytes_max` is what an image that is compiled may start with, as compiling lays its memory out.
    #[must_use]
    pub fn open(state_dir: &Path, key_file: &Path, memory_bytes_max: u64) -> Self {
        Self { dir: state_dir.join("native"), key_file: key_file.into(), memory_bytes_max }
    }

    /// The key; drawn at the first use.
    fn key(&self) -> Result<[u8; 32], Error> {
        let read = || -> io::Result<[u8; 32]> {
            let mut key = [0; 32];
            open_own(&self.key_file)?.read_exact_at(&mut key, 0)?;
            Ok(key)
        };
        let failed = |source| Error::io("read the key", &self.key_file, source);
        match read() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other.map_err(failed),
        }
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| failed(io::Error::other(error)))?;
        make_private_dir(self.key_file.parent().unwrap_or(Path::new(".")))?;
        publish_new(&self.key_file, &key)?;
        // Another process may have been first: there is one key, and it is the one on disk.
        read().map_err(failed)
    }

    /// Loads an image from the cache.
    ///
    /// # Errors
    /// Why the cache does not serve.
    pub fn find(&self, engine: &Engine, image: &SealedImage) -> Result<LoadedImage, Miss> {
        let (module, native_bytes) =
            self.look(engine, image)?.load(engine).map_err(|error| Miss::Unfit(error.to_string()))?;
        Ok(LoadedImage::of(image, module, native_bytes, Origin::Cached))
    }

    /// Whether what is compiled can be kept; what that takes is made where it is missing.
    #[must_use]
    pub fn can_keep(&self) -> bool {
        let wanted = Access::WRITE_OK | Access::EXEC_OK;
        make_private_dir(&self.dir).is_ok()
            && accessat(CWD, &self.dir, wanted, AtFlags::EACCESS).is_ok()
            && self.key().is_ok()
    }

    /// Loads an image, from the cache if that has fitting native code for it.
    ///
    /// # Errors
    /// When the image is damaged or cannot be compiled.
    pub fn load(&self, engine: &Engine, image: &SealedImage) -> Result<LoadedImage, Error> {
        self.find(engine, image).or_else(|miss| self.compile(engine, image, miss))
    }

    fn compile(&self, engine: &Engine, image: &SealedImage, miss: Miss) -> Result<LoadedImage, Error> {
        if let Miss::Unfit(reason) = &miss {
            tracing::warn!(image = %image.digest(), reason, "native code does not fit and is compiled again");
        }
        let bytes = image.read_verified()?;
        if image.manifest().guest.name == calculators::GUEST_NAME {
            calculators::check(&bytes, self.memory_bytes_max)?;
        } else {
            check_image(&bytes, self.memory_bytes_max)?;
        }
        let code = compile(engine, &bytes)?;
        let kept =
            self.keep(engine, image.digest(), image.manifest(), &code).map(|()| self.look(engine, image));
        let (verified, origin) = match kept {
            Ok(Ok(verified)) => (verified, Origin::Compiled(miss)),
            Ok(Err(again)) => {
                tracing::warn!(image = %image.digest(), reason = ?again, "the cache does not keep what it is given");
                (VerifiedCode::seal(&code)?, Origin::Memory(miss))
            }
            Err(error) => {
                tracing::warn!(%error, "native code cannot be kept (see `state_dir`, `native.key_file`): compiled into memory");
                (VerifiedCode::seal(&code)?, Origin::Memory(miss))
            }
        };
        let (module, native_bytes) = verified.load(engine)?;
        Ok(LoadedImage::of(image, module, native_bytes, origin))
    }

    /// Writes native code and its record.
    pub(crate) fn keep(
        &self,
        engine: &Engine,
        image: Digest,
        manifest: &Manifest,
        code: &[u8],
    ) -> Result<(), Error> {
        let key = self.key()?;
        make_private_dir(&self.dir)?;
        publish(&self.code_path(engine, &image), code)?;
        let record = Record {
            image,
            engine: fingerprint(engine),
            manifest: manifest.digest(),
            code: NativeDigest::of(&key, &of_what(engine, &image, manifest), code),
        };
        let json = serde_json::to_vec(&record).expect("a record has string keys only");
        publish(&self.record_path(engine, &image), &json)
    }

    /// Removes the native code of an image, for every engine.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn remove(&self, image: &Digest) -> Result<(), Error> {
        let Ok(entries) = fs::read_dir(&self.dir) else { return Ok(()) };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(&image.to_string()) {
                fs::remove_file(entry.path()).map_err(|source| Error::io("remove", entry.path(), source))?;
            }
        }
        Ok(())
    }

    /// Native code for an image, checked in every respect; it can still be of a build that the engine refuses.
    fn look(&self, engine: &Engine, image: &SealedImage) -> Result<VerifiedCode, Miss> {
        let (digest, manifest) = (&image.digest(), image.manifest());
        let unfit = |reason: String| Miss::Unfit(reason);
        let own = |path: &Path| match open_own(path) {
            Ok(file) => Ok(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Miss::Absent),
            Err(error) => Err(unfit(format!("{}: {error}", path.display()))),
        };
        let record_file = own(&self.record_path(engine, digest))?;
        let record: Record = serde_json::from_reader(BufReader::new(record_file))
            .map_err(|error| unfit(format!("its record is unreadable: {error}")))?;
        if record.image != *digest || record.engine != fingerprint(engine) {
            return Err(unfit("its record is of another image or engine".into()));
        }
        if record.manifest != manifest.digest() {
            return Err(unfit("the image has another manifest now".into()));
        }
        let key = self.key().map_err(|error| unfit(error.to_string()))?;
        let code = own(&self.code_path(engine, digest))?;
        let found = NativeDigest::of_file(&key, &of_what(engine, digest, manifest), &code)
            .map_err(|error| unfit(error.to_string()))?;
        if found != record.code {
            return Err(unfit("its digest is not the recorded one".into()));
        }
        Ok(VerifiedCode(code))
    }

    fn code_path(&self, engine: &Engine, image: &Digest) -> PathBuf {
        self.dir.join(format!("{image}-{}.cwasm", fingerprint(engine)))
    }

    fn record_path(&self, engine: &Engine, image: &Digest) -> PathBuf {
        self.code_path(engine, image).with_extension("json")
    }
}

impl VerifiedCode {
    /// Puts native code that was compiled a moment ago into memory that nobody can write any more.
    fn seal(code: &[u8]) -> Result<Self, Error> {
        sealed_memory(code).map(Self).map_err(|source| Error::io("make", "sealed memory", source))
    }

    /// Maps it; returns the module and the size of the mapped file.
    fn load(self, engine: &Engine) -> Result<(Module, u64), Error> {
        let metadata = self.0.metadata().map_err(|source| Error::io("look at", "native code", source))?;
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
    /// When no instance can be made.
    pub fn copy_on_write(&self) -> Result<CopyOnWrite, Error> {
        cow::probe(&self.module).map_err(Error::engine("make an instance of the image"))
    }
}

/// Compiles an image for an engine.
pub(crate) fn compile(engine: &Engine, image: &[u8]) -> Result<Vec<u8>, Error> {
    engine.precompile_module(image).map_err(Error::engine("compile the image"))
}

/// Loads native code that was compiled a moment ago, without a file.
pub(crate) fn load_bytes(engine: &Engine, code: &[u8]) -> Result<Module, Error> {
    map(engine, VerifiedCode::seal(code)?)
}

/// What native code is the code of: the digest covers it, so that no record can be moved to another image.
fn of_what(engine: &Engine, image: &Digest, manifest: &Manifest) -> String {
    format!("{image} {} {}", fingerprint(engine), manifest.digest())
}

/// A name for all that makes native code fit an engine: version, target, and settings.
fn fingerprint(engine: &Engine) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Opens a file that belongs to this user and that nobody else can write.
fn open_own(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    let refuse = |reason| Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    if !metadata.is_file() {
        return refuse("not a regular file");
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return refuse("it belongs to another user");
    }
    if metadata.mode() & 0o022 != 0 {
        return refuse("others than its owner can write it");
    }
    if metadata.nlink() != 1 {
        return refuse("it has a second name");
    }
    Ok(file)
}

/// Memory with a descriptor that nobody can write any more, this process included.
fn sealed_memory(bytes: &[u8]) -> io::Result<File> {
    let other = |error: memfd::Error| io::Error::other(error);
    let memory = MemfdOptions::default().allow_sealing(true).create("snapback-native").map_err(other)?;
    memory.as_file().write_all(bytes)?;
    memory
        .add_seals(&[FileSeal::SealShrink, FileSeal::SealGrow, FileSeal::SealWrite, FileSeal::SealSeal])
        .map_err(other)?;
    Ok(memory.into_file())
}

#[expect(unsafe_code, reason = "the one place where native code is taken on trust")]
fn map(engine: &Engine, VerifiedCode(code): VerifiedCode) -> Result<Module, Error> {
    // SAFETY: `deserialize_open_file` asks that the file holds what an engine of this version compiled, and
    // that it does not change while it is mapped. `VerifiedCode` is made in two places: from sealed memory filled
    // by this process, and from a file that `open_own` found to belong to this user alone, of which the digest was taken
    // through this descriptor and equals the one recorded when it was compiled. Such a file is never
    // written again under its inode (`store::publish` renames over names), and is mode 0400. The engine
    // itself refuses code of another version or other settings.
    unsafe { Module::deserialize_open_file(engine, code) }.map_err(Error::engine("map the native code"))
}
