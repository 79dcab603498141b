//! The manifest, which describes an image. `manifest_section` embeds it in a module and reads it.
//!
//! Invariant: nothing in it depends on when or where the image was baked; equal inputs give equal bytes.

use crate::{Digest, Feature, Simd};
use serde::{Deserialize, Serialize};

/// Version of this format. A reader refuses any other.
pub const FORMAT_VERSION: u32 = 3;
/// Version of `wasmtime` and `wasmtime-wizer`, pinned in `Cargo.toml`. A test compares it with the lock file.
const ENGINE_VERSION: &str = "48.0.8";

/// The manifest of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: u32,
    /// Version of the guest contract that the image implements.
    pub abi_version: i32,
    /// Kind of the image.
    pub kind: ImageKind,
    /// The guest that was baked.
    pub guest: GuestId,
    /// The features that its code uses, in the order of their names.
    pub features: Vec<Feature>,
    /// The image that the bake started from, if it did not start from the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Digest>,
    /// The inputs that the image holds, in the order in which they were fed; those of its base come first.
    pub inputs: Vec<InputId>,
    /// The circuits that the image can prove; empty if the guest is not a prover.
    pub circuits: Vec<CircuitId>,
    /// The exports that clients may call.
    pub methods: Vec<MethodInfo>,
    /// Size of the linear memory of a fresh instance, in bytes.
    pub memory_bytes: u64,
    /// Memory that the trial call of the bake took; `None` if the bake made no trial call.
    pub trial: Option<Trial>,
    /// Versions of the tools that made the image.
    pub tools: Tools,
}

/// Kind of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ImageKind {
    /// A guest that is served without changes.
    Service,
    /// A prover whose circuits are bake inputs.
    Circuits {
        /// Name of the proof system; see [`crate::proof_systems::ProofSystem::id`].
        proof_system: String,
    },
    /// A witness calculator that circom generated. It belongs to a circuit and is never served.
    Calculator,
}

/// A method, as its guest declares it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MethodInfo {
    /// Name of the export.
    pub name: String,
    /// Media type of the request's body.
    pub request: String,
    /// Media type of the reply's body.
    pub reply: String,
    /// Whether equal requests have equal replies. Left out where it is not so, as in manifests of earlier versions.
    #[serde(default, rename = "pure", skip_serializing_if = "std::ops::Not::not")]
    pub is_pure: bool,
}

/// Name and digest of a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestId {
    /// Name of the guest.
    pub name: String,
    /// SHA-256 of its module.
    pub digest: Digest,
}

/// One input of the bake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputId {
    /// Name, without the prefix of the bake method.
    pub name: String,
    /// Name of the object that the input concerns, such as a circuit; empty if it concerns the whole guest.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub of: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Length in bytes.
    pub bytes: u64,
}

/// One circuit of a prover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CircuitId {
    /// Name that clients use.
    pub name: String,
    /// SHA-256 of its verifying key.
    pub vk_digest: Digest,
}

/// Memory that a trial call took. The call was made twice in one instance of the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// The method that was called.
    pub method: String,
    /// The circuit; empty if the call concerned no circuit.
    pub circuit: String,
    /// SHA-256 of the request's body.
    pub input: Digest,
    /// Length of the request's body in bytes.
    pub input_bytes: u64,
    /// Linear memory after the first call, in bytes.
    pub peak_bytes: u64,
    /// Size of the pages that the first call changed, in bytes: the memory of an instance beside the image.
    pub dirty_bytes: u64,
    /// Linear memory that the second call added, in bytes: the growth of a used instance.
    pub growth_bytes: u64,
}

/// Versions of the tools that made an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tools {
    /// Version of this project.
    pub snapback: String,
    /// Version of the engine that ran the bake.
    pub wasmtime: String,
    /// Version of the library that took the snapshot.
    pub wizer: String,
}

impl Tools {
    /// Returns the versions that this binary contains.
    #[must_use]
    pub fn current() -> Self {
        Self {
            snapback: env!("CARGO_PKG_VERSION").into(),
            wasmtime: ENGINE_VERSION.into(),
            wizer: ENGINE_VERSION.into(),
        }
    }
}

impl Manifest {
    /// Returns whether the image has vector instructions.
    #[must_use]
    pub fn simd(&self) -> Simd {
        Simd::of(&self.features)
    }

    /// Returns the digest of the manifest.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).expect("a manifest has string keys only"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_has_the_version_of_the_lock_file() {
        let lock = include_str!("../../Cargo.lock");
        for package in ["wasmtime", "wasmtime-wizer"] {
            let entry = format!("name = \"{package}\"\nversion = \"{ENGINE_VERSION}\"");
            assert!(lock.contains(&entry), "{package} is not {ENGINE_VERSION}");
        }
    }
}
