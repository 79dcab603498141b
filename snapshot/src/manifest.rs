//! What an image says of itself: JSON in a custom section, the first of the module, so that it can be read
//! without the megabytes behind it.
//!
//! Invariant: nothing in it depends on when or where the image was baked; equal inputs give equal bytes.

use crate::Digest;
use serde::{Deserialize, Serialize};
use std::io::{self, Read};

/// Version of this format. A reader refuses any other.
pub const FORMAT_VERSION: u32 = 1;
/// Name of the custom section.
pub const SECTION: &str = "snapback.manifest";
/// Largest manifest that is read, in bytes.
pub const MANIFEST_BYTES_MAX: usize = 1 << 20;

const WASM_HEADER: [u8; 8] = *b"\0asm\x01\0\0\0";
/// `wasmtime` and `wasmtime-wizer`, pinned in `Cargo.toml`; a test holds this against the lock file.
const ENGINE_VERSION: &str = "48.0.8";

/// The manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: u32,
    /// Version of the guest contract that the image speaks.
    pub abi_version: i32,
    /// The guest that was baked.
    pub guest: GuestId,
    /// The image that it was baked from, where that was not the guest itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Digest>,
    /// What it was fed, in the order of the bake; what its base was fed comes first.
    pub inputs: Vec<InputId>,
    /// What it can prove; empty where the guest is no prover.
    pub circuits: Vec<CircuitId>,
    /// Exports that clients may call.
    pub methods: Vec<String>,
    /// Size of the linear memory of a fresh instance.
    pub memory_bytes: u64,
    /// What a call took while baking; none where the bake was given no call to try.
    pub trial: Option<Trial>,
    /// What made the image.
    pub tools: Tools,
}

/// Name and digest of a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestId {
    /// What people call it.
    pub name: String,
    /// SHA-256 of its module.
    pub digest: Digest,
}

/// One input of the bake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputId {
    /// Its name, without the prefix of the bake method.
    pub name: String,
    /// What of the guest's it concerns, such as a circuit.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub of: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Its length.
    pub bytes: u64,
}

/// One circuit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CircuitId {
    /// What clients call it.
    pub name: String,
    /// SHA-256 of its verifying key.
    pub vk_digest: Digest,
}

/// What a call took, made twice in one instance of the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// The method.
    pub method: String,
    /// The circuit, or nothing.
    pub circuit: String,
    /// SHA-256 of what was sent.
    pub input: Digest,
    /// Its length.
    pub input_bytes: u64,
    /// Linear memory after the first call.
    pub peak_bytes: u64,
    /// What the first call wrote to, in whole pages: what an instance costs beside the image.
    pub dirty_bytes: u64,
    /// Linear memory that the second call added: what a used instance grows by.
    pub growth_bytes: u64,
}

/// Versions of what made an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tools {
    /// This project.
    pub snapback: String,
    /// The engine that ran the bake.
    pub wasmtime: String,
    /// What took the snapshot.
    pub wizer: String,
}

impl Tools {
    /// The versions in this binary.
    #[must_use]
    pub fn current() -> Self {
        Self {
            snapback: env!("CARGO_PKG_VERSION").into(),
            wasmtime: ENGINE_VERSION.into(),
            wizer: ENGINE_VERSION.into(),
        }
    }
}

/// Why a manifest could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file ends, or cannot be read.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// The file is no core module.
    #[error("not a WebAssembly module")]
    NotWasm,
    /// The module does not begin with the section.
    #[error("the module has no manifest: it is a guest, not an image; `snapback bake` makes one of it")]
    Missing,
    /// A length in the section cannot be.
    #[error("the manifest's lengths do not fit each other")]
    Lengths,
    /// The section's text is no manifest.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// The manifest was written by another version.
    #[error("format version {0}, this host reads {FORMAT_VERSION}")]
    Version(u32),
}

impl Manifest {
    /// Whether it is short enough to be read again.
    pub(crate) fn fits(&self) -> bool {
        serde_json::to_vec(self).is_ok_and(|json| json.len() <= MANIFEST_BYTES_MAX)
    }

    /// Puts the manifest into a module that has none.
    ///
    /// # Panics
    /// If the bytes are not a module: they come from the snapshot.
    #[must_use]
    pub fn embed(&self, module: &[u8]) -> Vec<u8> {
        let rest = module.strip_prefix(&WASM_HEADER).expect("a snapshot is a core module");
        let json = serde_json::to_vec(self).expect("a manifest has string keys only");
        let name_len = u8::try_from(SECTION.len()).expect("a short name");
        let mut image = Vec::with_capacity(module.len() + json.len() + 64);
        image.extend_from_slice(&WASM_HEADER);
        image.push(0);
        write_leb(&mut image, 1 + SECTION.len() + json.len());
        image.push(name_len);
        image.extend_from_slice(SECTION.as_bytes());
        image.extend_from_slice(&json);
        image.extend_from_slice(rest);
        image
    }

    /// The module again, without its manifest.
    ///
    /// # Errors
    /// When there is none.
    pub fn strip(image: &[u8]) -> Result<Vec<u8>, ManifestError> {
        let mut rest = image.strip_prefix(&WASM_HEADER).ok_or(ManifestError::NotWasm)?;
        let mut id = [0xff];
        rest.read_exact(&mut id)?;
        if id != [0] {
            return Err(ManifestError::Missing);
        }
        let len = read_leb(&mut rest)?;
        let rest = rest.get(len..).ok_or(ManifestError::Lengths)?;
        Ok([&WASM_HEADER, rest].concat())
    }

    /// A name for this manifest.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).expect("a manifest has string keys only"))
    }

    /// Reads the manifest at the head of an image.
    ///
    /// # Errors
    /// When there is none, or none that this version reads.
    pub fn read(mut image: impl Read) -> Result<Self, ManifestError> {
        let mut header = [0; WASM_HEADER.len()];
        image.read_exact(&mut header)?;
        if header != WASM_HEADER {
            return Err(ManifestError::NotWasm);
        }
        let mut id = [0xff];
        if image.read(&mut id)? == 0 || id != [0] {
            return Err(ManifestError::Missing);
        }
        let len = read_leb(&mut image)?;
        let name_len = read_leb(&mut image)?;
        // The length of the name takes one byte, as names are short: any other name is another section.
        let mut name = [0; SECTION.len()];
        if name_len != name.len() {
            return Err(ManifestError::Missing);
        }
        image.read_exact(&mut name)?;
        if name != SECTION.as_bytes() {
            return Err(ManifestError::Missing);
        }
        let json_len = len.checked_sub(1 + name.len()).filter(|len| *len <= MANIFEST_BYTES_MAX);
        let mut json = vec![0; json_len.ok_or(ManifestError::Lengths)?];
        image.read_exact(&mut json)?;

        /// The one field that every version has: read first, so that a newer manifest is told by its version.
        #[derive(Deserialize)]
        struct Version {
            format_version: u32,
        }
        let Version { format_version } = serde_json::from_slice(&json)?;
        if format_version != FORMAT_VERSION {
            return Err(ManifestError::Version(format_version));
        }
        Ok(serde_json::from_slice(&json)?)
    }
}

fn write_leb(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = u8::try_from(value & 0x7f).expect("seven bits");
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

fn read_leb(bytes: &mut impl Read) -> Result<usize, ManifestError> {
    let mut value = 0u64;
    for shift in (0..35).step_by(7) {
        let mut byte = [0];
        bytes.read_exact(&mut byte)?;
        value |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            return usize::try_from(value).map_err(|_| ManifestError::Lengths);
        }
    }
    Err(ManifestError::Lengths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest() -> impl Strategy<Value = Digest> {
        any::<[u8; 32]>().prop_map(Digest::from_bytes)
    }

    prop_compose! {
        fn manifest()(
            guest in digest(),
            name in ".{0,20}",
            base in prop::option::of(digest()),
            inputs in prop::collection::vec((".{0,10}", ".{0,10}", digest(), any::<u64>()), 0..3),
            circuits in prop::collection::vec((".{0,10}", digest()), 0..3),
            methods in prop::collection::vec(".{0,10}", 0..3),
            memory_bytes: u64,
            trial in prop::option::of((".{0,10}", ".{0,10}", digest(), any::<[u64; 4]>())),
        ) -> Manifest {
            Manifest {
                format_version: FORMAT_VERSION,
                abi_version: 1,
                guest: GuestId { name, digest: guest },
                base,
                inputs: inputs
                    .into_iter()
                    .map(|(name, of, digest, bytes)| InputId { name, of, digest, bytes })
                    .collect(),
                circuits: circuits.into_iter().map(|(name, vk_digest)| CircuitId { name, vk_digest }).collect(),
                methods,
                memory_bytes,
                trial: trial.map(|(method, circuit, input, [input_bytes, peak_bytes, dirty_bytes, growth_bytes])| {
                    Trial { method, circuit, input, input_bytes, peak_bytes, dirty_bytes, growth_bytes }
                }),
                tools: Tools::current(),
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_embedded_is_read(manifest in manifest(), rest: Vec<u8>) {
            let image = manifest.embed(&[&WASM_HEADER[..], &rest].concat());
            prop_assert!(image.ends_with(&rest));
            prop_assert_eq!(Manifest::strip(&image).expect("our own"), [&WASM_HEADER[..], &rest].concat());
            prop_assert_eq!(Manifest::read(image.as_slice()).expect("our own"), manifest);
        }

        #[test]
        fn any_bytes_are_a_manifest_or_an_error(bytes: Vec<u8>) {
            let image = [&WASM_HEADER[..], &[0], &bytes].concat();
            prop_assert!(Manifest::read(image.as_slice()).is_err());
        }

        #[test]
        fn a_manifest_with_any_byte_changed_is_read_or_refused(
            manifest in manifest(), at: prop::sample::Index, byte: u8,
        ) {
            let mut image = manifest.embed(&WASM_HEADER);
            let at = at.index(image.len());
            image[at] = byte;
            // Whatever it is now, it is read to its end without a panic, and what is read can be written.
            if let Ok(read) = Manifest::read(image.as_slice()) {
                prop_assert_eq!(Manifest::read(read.embed(&WASM_HEADER).as_slice()).expect("our own"), read);
            }
        }

        #[test]
        fn a_manifest_cut_anywhere_is_an_error(manifest in manifest(), cut: prop::sample::Index) {
            let image = manifest.embed(&WASM_HEADER);
            prop_assert!(Manifest::read(&image[..cut.index(image.len())]).is_err());
        }

        #[test]
        fn a_length_that_lies_allocates_nothing(len in MANIFEST_BYTES_MAX + 64..u32::MAX as usize) {
            let mut image = WASM_HEADER.to_vec();
            image.push(0);
            write_leb(&mut image, len);
            image.push(u8::try_from(SECTION.len()).expect("short"));
            image.extend_from_slice(SECTION.as_bytes());
            let refusal = matches!(Manifest::read(image.as_slice()), Err(ManifestError::Lengths));
            prop_assert!(refusal);
        }
    }

    #[test]
    fn another_version_is_told_by_its_number() {
        let json = br#"{"format_version":2,"something":"new"}"#;
        let mut image = WASM_HEADER.to_vec();
        image.push(0);
        write_leb(&mut image, 1 + SECTION.len() + json.len());
        image.push(u8::try_from(SECTION.len()).expect("short"));
        image.extend_from_slice(SECTION.as_bytes());
        image.extend_from_slice(json);
        assert!(matches!(Manifest::read(image.as_slice()), Err(ManifestError::Version(2))));
    }

    #[test]
    fn the_engine_has_the_version_of_the_lock_file() {
        let lock = include_str!("../../Cargo.lock");
        for package in ["wasmtime", "wasmtime-wizer"] {
            let entry = format!("name = \"{package}\"\nversion = \"{ENGINE_VERSION}\"");
            assert!(lock.contains(&entry), "{package} is not {ENGINE_VERSION}");
        }
    }
}
