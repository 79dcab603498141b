//! What the cache keeps beside each native code file: the record of its digest, and the record of the identity under which
//! the file had that digest.
//!
//! Invariant: a record is used for the image, the engine and the manifest that it was made for, and for no other. Nobody
//! can make one without the key.

use crate::{Digest, Error, digest::NativeDigest, dir::Dir, identity::FileIdentity, manifest::Manifest};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs::File,
    hash::{DefaultHasher, Hash, Hasher},
    io::{BufReader, Read},
};
use wasmtime::Engine;

/// Longest record, in bytes.
const RECORD_BYTES_MAX: u64 = 1 << 16;
/// Version of the record of an identity. A reader ignores any other.
const VERSION: u32 = 1;

/// The record of native code.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) image: Digest,
    pub(crate) engine: String,
    /// Digest of the manifest that was embedded in the image when it was compiled.
    pub(crate) manifest: Digest,
    /// Length of the native code. A file of another length is not hashed.
    pub(crate) bytes: u64,
    pub(crate) code: NativeDigest,
}

/// The record of the identity that a native code file had when it was hashed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IdentityRecord {
    version: u32,
    identity: FileIdentity,
    /// Keyed digest of the rest, of the digest of the code, and of what the code belongs to.
    seal: NativeDigest,
}

/// Why there is no identity to compare with.
pub(crate) enum NoIdentity {
    Absent,
    Unfit(&'static str),
}

/// The image and engine that native code belongs to, and the names of its files.
pub(crate) struct Subject {
    image: Digest,
    fingerprint: String,
    /// Digests cover this, so that no record fits another image.
    pub(crate) text: String,
}

impl Subject {
    pub(crate) fn new(engine: &Engine, image: Digest, manifest: &Manifest) -> Self {
        let fingerprint = fingerprint(engine);
        let text = format!("{image} {fingerprint} {}", manifest.digest());
        Self { image, fingerprint, text }
    }

    /// Returns the name of the file with the native code.
    pub(crate) fn code_name(&self) -> String {
        self.name("cwasm")
    }

    /// Returns the name of the record of that file.
    pub(crate) fn record_name(&self) -> String {
        self.name("json")
    }

    /// Returns the name of the record of that file's identity.
    pub(crate) fn identity_name(&self) -> String {
        self.name("identity")
    }

    fn name(&self, ending: &str) -> String {
        format!("{}-{}.{ending}", self.image, self.fingerprint)
    }

    /// Returns whether a record was made for this image and engine.
    pub(crate) fn is_of(&self, record: &Record) -> bool {
        record.image == self.image && record.engine == self.fingerprint
    }

    /// Makes the record of native code.
    pub(crate) fn record(&self, key: &[u8; 32], manifest: &Manifest, code: &[u8]) -> Vec<u8> {
        let record = Record {
            image: self.image,
            engine: self.fingerprint.clone(),
            manifest: manifest.digest(),
            bytes: code.len() as u64,
            code: NativeDigest::of(key, &self.text, code),
        };
        serde_json::to_vec(&record).expect("a record has string keys only")
    }

    /// Records the identity that the file with this digest has.
    pub(crate) fn keep_identity(
        &self,
        dir: &Dir,
        key: &[u8; 32],
        code: &NativeDigest,
        identity: &FileIdentity,
    ) -> Result<(), Error> {
        let seal = self.seal(key, code, identity);
        let record = IdentityRecord { version: VERSION, identity: identity.clone(), seal };
        let json = serde_json::to_vec(&record).expect("a record has string keys only");
        dir.publish(&self.identity_name(), &json)
    }

    /// Returns the identity that the file with this digest had.
    pub(crate) fn known_identity(
        &self,
        dir: &Dir,
        key: &[u8; 32],
        code: &NativeDigest,
    ) -> Result<FileIdentity, NoIdentity> {
        let file = dir.open_own(&self.identity_name());
        let file = file.map_err(|_| NoIdentity::Unfit("somebody else may have written it"))?;
        let record: IdentityRecord = parse(file.ok_or(NoIdentity::Absent)?)
            .map_err(|_| NoIdentity::Unfit("it is unreadable or of another version"))?;
        if record.version != VERSION {
            return Err(NoIdentity::Unfit("it is unreadable or of another version"));
        }
        if record.seal != self.seal(key, code, &record.identity) {
            return Err(NoIdentity::Unfit("it was not made for this code with this key"));
        }
        Ok(record.identity)
    }

    fn seal(&self, key: &[u8; 32], code: &NativeDigest, identity: &FileIdentity) -> NativeDigest {
        // Another key than that of code, so that no file of code has the digest of a record.
        let key = blake3::derive_key("snapback: identities of native code files", key);
        let sealed = serde_json::to_vec(&(VERSION, code, identity)).expect("plain fields");
        NativeDigest::of(&key, &self.text, &sealed)
    }
}

/// Reads a record.
pub(crate) fn parse<T: DeserializeOwned>(file: File) -> serde_json::Result<T> {
    serde_json::from_reader(BufReader::new(file.take(RECORD_BYTES_MAX)))
}

/// Returns a name for everything that native code depends on: version, target and settings of the engine.
fn fingerprint(engine: &Engine) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
