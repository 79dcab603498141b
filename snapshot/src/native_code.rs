//! Native code that was checked, and its mapping.
//!
//! Invariant: [`map`] is given nothing but [`VerifiedCode`], which is made here: from memory that this process filled, or from
//! a file after all checks.

use crate::{
    Confirmation, CopyOnWrite, Digest, Error,
    confirmation::KnownIdentity,
    cow,
    digest::NativeDigest,
    dir::Dir,
    identity::FileIdentity,
    image::SealedImage,
    manifest::Manifest,
    native_check::{CheckMode, LoadTimes, NativeCheck, WhyFull},
    native_record::{NoIdentity, Record, Subject, parse},
    sealed::sealed_memory,
};
use std::{fs::File, io, time::Instant};
use wasmtime::{Engine, Module};

/// Native code that this host wrote: sealed memory that it filled, or a file whose keyed digest is the recorded one.
pub(crate) struct VerifiedCode {
    file: File,
    check: NativeCheck,
    /// The identity that a file had when it was checked.
    identity: Option<FileIdentity>,
    /// What is still to be done once it is mapped.
    confirmation: Option<Confirmation>,
}

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
    /// How the native code was checked.
    pub check: NativeCheck,
    /// How long its check and its mapping took.
    pub times: LoadTimes,
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

impl VerifiedCode {
    /// Opens the native code of an image in a directory, and makes all checks. The engine may still refuse it if another
    /// build compiled it.
    pub(crate) fn open(
        dir: Dir,
        key: impl FnOnce() -> Result<[u8; 32], Error>,
        mode: CheckMode,
        engine: &Engine,
        image: &SealedImage,
    ) -> Result<Self, Miss> {
        let manifest = image.manifest();
        let subject = Subject::new(engine, image.digest(), manifest);
        let unfit = |reason: String| Miss::Unfit(reason);
        let own = |name: &str| match dir.open_own(name) {
            Ok(Some(file)) => Ok(file),
            Ok(None) => Err(Miss::Absent),
            Err(error) => Err(unfit(error.to_string())),
        };
        let record: Record = parse(own(&subject.record_name())?)
            .map_err(|error| unfit(format!("its record is unreadable: {error}")))?;
        if !subject.is_of(&record) {
            return Err(unfit("its record belongs to another image or engine".into()));
        }
        if record.manifest != manifest.digest() {
            return Err(unfit("the image has another manifest now".into()));
        }
        let key = key().map_err(|error| unfit(error.to_string()))?;
        let file = own(&subject.code_name())?;
        let failed = |error: io::Error| unfit(error.to_string());
        if file.metadata().map_err(failed)?.len() != record.bytes {
            return Err(unfit("its length differs from the recorded one".into()));
        }
        let identity = FileIdentity::of(&file);
        let check = match (mode, &identity) {
            (CheckMode::Full, _) => NativeCheck::Full(WhyFull::Setting),
            (CheckMode::Identity, Err(error)) => NativeCheck::Full(WhyFull::Untold(error.to_string())),
            (CheckMode::Identity, Ok(identity)) => {
                compare(identity, subject.known_identity(&dir, &key, &record.code))
            }
        };
        if check != NativeCheck::Identity {
            let found = NativeDigest::of_file(&key, &subject.text, &file).map_err(failed)?;
            if found != record.code {
                return Err(unfit("its digest differs from the recorded one".into()));
            }
        }
        let confirmation = match mode {
            CheckMode::Full => None,
            CheckMode::Identity => {
                let is_known = check == NativeCheck::Identity;
                let known = if is_known { KnownIdentity::Recorded } else { KnownIdentity::Unrecorded };
                let file = file.try_clone().map_err(failed)?;
                Some(Confirmation { dir, subject, key, code: record.code, file, identity: known })
            }
        };
        Ok(Self { file, check, identity: identity.ok(), confirmation })
    }

    /// Copies freshly compiled native code into memory that can no longer be written.
    pub(crate) fn seal(code: &[u8]) -> Result<Self, Error> {
        let file = sealed_memory(code).map_err(|source| Error::io("create", "sealed memory", source))?;
        Ok(Self { file, check: NativeCheck::Memory, identity: None, confirmation: None })
    }

    /// Maps the code, whose check began at `begun`. Returns what is still to be done as well.
    pub(crate) fn load(
        mut self,
        engine: &Engine,
        image: &SealedImage,
        origin: Origin,
        begun: Instant,
    ) -> Result<(LoadedImage, Option<Confirmation>), Error> {
        let failed = |source| Error::io("inspect", "native code", source);
        let native_bytes = self.file.metadata().map_err(failed)?.len();
        let (same, identity) = (self.file.try_clone().map_err(failed)?, self.identity.clone());
        let (check, confirmation) = (self.check.clone(), self.confirmation.take());
        let checked = Instant::now();
        let module = map(engine, self)?;
        if let Some(identity) = identity {
            let differences = identity.differences(&FileIdentity::of(&same).map_err(failed)?);
            if !differences.is_empty() {
                let reason = format!("it changed while it was mapped: {}", differences.join(", "));
                return Err(failed(io::Error::other(reason)));
            }
        }
        let times = LoadTimes { check: checked - begun, map: checked.elapsed() };
        let (digest, manifest) = (image.digest(), image.manifest().clone());
        Ok((LoadedImage { digest, manifest, module, native_bytes, origin, check, times }, confirmation))
    }
}

/// Compares the identity of a file with the recorded one.
fn compare(identity: &FileIdentity, known: Result<FileIdentity, NoIdentity>) -> NativeCheck {
    let why = match known {
        Ok(known) => match identity.differences(&known) {
            differences if differences.is_empty() => return NativeCheck::Identity,
            differences => WhyFull::Changed(differences),
        },
        Err(NoIdentity::Absent) => WhyFull::NoRecord,
        Err(NoIdentity::Unfit(reason)) => WhyFull::UnfitRecord(reason),
    };
    NativeCheck::Full(why)
}

impl LoadedImage {
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

#[expect(unsafe_code, reason = "the one place that trusts native code")]
fn map(engine: &Engine, code: VerifiedCode) -> Result<Module, Error> {
    // SAFETY: `deserialize_open_file` requires that an engine of this version compiled the file, and that it does not
    // change while it is mapped. `VerifiedCode` is made in two places: from sealed memory that this process filled, and
    // from a file that `Dir::open_own` found to belong to this user alone, and whose digest equals the one recorded when
    // it was compiled. The digest was taken through this descriptor, or earlier from a file with the same identity,
    // which has the same bytes (see `identity`). Such a file is never written again under its inode (`Dir::publish`
    // renames over names), and has mode 0400. The engine refuses code of another version or with other settings.
    unsafe { Module::deserialize_open_file(engine, code.file) }.map_err(Error::engine("map the native code"))
}
