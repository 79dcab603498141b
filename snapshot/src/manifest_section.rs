//! Embeds the manifest in a module and reads it. It is JSON in a custom section, which comes first, so that a reader
//! does not need the megabytes that follow.
//!
//! Invariant: no length in a file is trusted before it is checked, and a manifest of any other version is refused.

use crate::manifest::{FORMAT_VERSION, Manifest};
use serde::Deserialize;
use std::io::{self, Read};

/// Name of the custom section.
pub const SECTION: &str = "snapback.manifest";
/// Longest manifest that is read, in bytes.
pub const MANIFEST_BYTES_MAX: usize = 1 << 20;

const WASM_HEADER: [u8; 8] = *b"\0asm\x01\0\0\0";

/// Why a manifest cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file ends early or cannot be read.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// The file is not a core module.
    #[error("the file is not a WebAssembly module")]
    NotWasm,
    /// The module does not begin with the section.
    #[error("the module has no manifest: it is a guest, and `snapback bake` makes an image of it")]
    Missing,
    /// The lengths in the section contradict each other.
    #[error("the lengths in its section contradict each other")]
    Lengths,
    /// The text of the section is not a manifest.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// The manifest has another format version.
    #[error("it has format version {0}, and this host reads version {FORMAT_VERSION}")]
    Version(u32),
}

impl Manifest {
    /// Returns whether the manifest is short enough to be read again.
    pub(crate) fn fits(&self) -> bool {
        serde_json::to_vec(self).is_ok_and(|json| json.len() <= MANIFEST_BYTES_MAX)
    }

    /// Embeds the manifest in a module that has none.
    ///
    /// # Panics
    /// Panics if the bytes are not a module.
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

    /// Removes the manifest from an image.
    ///
    /// # Errors
    /// Returns an error if the bytes are not a module that begins with a custom section.
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

    /// Reads the manifest at the beginning of an image.
    ///
    /// # Errors
    /// Returns an error if the image has no manifest, or one that this version cannot read.
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

        /// The one field that every version has. It is read first, so that the error about a newer manifest names its
        /// version.
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
    use crate::{
        Digest, Feature,
        manifest::{CircuitId, GuestId, ImageKind, InputId, MethodInfo, Tools, Trial},
    };
    use proptest::prelude::*;

    fn digest() -> impl Strategy<Value = Digest> {
        any::<[u8; 32]>().prop_map(Digest::from_bytes)
    }

    prop_compose! {
        fn manifest()(
            guest in digest(),
            name in ".{0,20}",
            features in prop::sample::subsequence(vec![Feature::BulkMemory, Feature::Simd128], 0..=2),
            base in prop::option::of(digest()),
            inputs in prop::collection::vec((".{0,10}", ".{0,10}", digest(), any::<u64>()), 0..3),
            circuits in prop::collection::vec((".{0,10}", digest()), 0..3),
            methods in prop::collection::vec((".{0,10}", ".{0,10}", ".{0,10}", any::<bool>()), 0..3),
            kind in prop_oneof![
                Just(ImageKind::Service), Just(ImageKind::Calculator),
                ".{0,10}".prop_map(|proof_system| ImageKind::Circuits { proof_system }),
            ],
            memory_bytes: u64,
            trial in prop::option::of((".{0,10}", ".{0,10}", digest(), any::<[u64; 4]>())),
        ) -> Manifest {
            Manifest {
                format_version: FORMAT_VERSION,
                abi_version: 1,
                kind,
                guest: GuestId { name, digest: guest },
                features,
                base,
                inputs: inputs
                    .into_iter()
                    .map(|(name, of, digest, bytes)| InputId { name, of, digest, bytes })
                    .collect(),
                circuits: circuits.into_iter().map(|(name, vk_digest)| CircuitId { name, vk_digest }).collect(),
                methods: methods
                    .into_iter()
                    .map(|(name, request, reply, is_pure)| MethodInfo { name, request, reply, is_pure })
                    .collect(),
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
            prop_assert_eq!(Manifest::strip(&image).expect("a manifest"), [&WASM_HEADER[..], &rest].concat());
            prop_assert_eq!(Manifest::read(image.as_slice()).expect("a manifest"), manifest);
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
            // The changed bytes cause no panic, and a manifest that was read can be written and read again.
            if let Ok(read) = Manifest::read(image.as_slice()) {
                prop_assert_eq!(Manifest::read(read.embed(&WASM_HEADER).as_slice()).expect("a manifest"), read);
            }
        }

        #[test]
        fn a_manifest_cut_anywhere_is_an_error(manifest in manifest(), cut: prop::sample::Index) {
            let image = manifest.embed(&WASM_HEADER);
            prop_assert!(Manifest::read(&image[..cut.index(image.len())]).is_err());
        }

        #[test]
        fn a_wrong_length_allocates_nothing(len in MANIFEST_BYTES_MAX + 64..u32::MAX as usize) {
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
    fn the_error_about_another_version_names_it() {
        let json = br#"{"format_version":4,"something":"new"}"#;
        let mut image = WASM_HEADER.to_vec();
        image.push(0);
        write_leb(&mut image, 1 + SECTION.len() + json.len());
        image.push(u8::try_from(SECTION.len()).expect("short"));
        image.extend_from_slice(SECTION.as_bytes());
        image.extend_from_slice(json);
        assert!(matches!(Manifest::read(image.as_slice()), Err(ManifestError::Version(4))));
    }
}
