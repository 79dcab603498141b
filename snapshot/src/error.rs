//! Errors between a guest and its loaded image, in one enum for the whole crate. Each message says what is wrong and,
//! where possible, how to correct it.

use crate::{Digest, manifest_section::ManifestError};
use std::{io, path::PathBuf};

/// An error of the bake, the store or the native code cache.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system reported an error.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The action that failed, as a verb with its object.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The guest or its image is refused.
    #[error("the guest is refused: {0}")]
    Refused(#[from] Refusal),
    /// A bake input is unknown to the guest, given twice, too large, or malformed.
    #[error("input `{name}`: {reason}")]
    Input {
        /// The label of the input, as in `--input LABEL=FILE`.
        name: String,
        /// The reason.
        reason: String,
    },
    /// A bake method replied with an error, or did not return.
    #[error("the guest's `{method}` failed: {message}")]
    Initialiser {
        /// The bake method.
        method: String,
        /// The message of the guest, or the reason why it stopped.
        message: String,
    },
    /// The trial call failed.
    #[error("the trial call of `{method}` failed: {message}")]
    Trial {
        /// The method.
        method: String,
        /// The message of the guest, or the reason why it stopped.
        message: String,
    },
    /// An image file does not have the digest in its name.
    #[error("{} is not a usable image: {reason}. Remove it (`snapback images remove`) and bake again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The mismatch.
        reason: String,
    },
    /// The manifest in an image cannot be read.
    #[error("the manifest of {} is unreadable: {source}; if it is an image, bake it again", path.display())]
    Manifest {
        /// The image.
        path: PathBuf,
        /// The reason.
        source: ManifestError,
    },
    /// There is no image of this name, digest or path.
    #[error(
        "no image `{0}` (a digest can be shortened to its first four digits): `snapback images` lists the store, \
         `snapback bake` makes an image"
    )]
    NoSuchImage(String),
    /// A prefix matches several images.
    #[error("`{prefix}` matches {} images: {}", digests.len(), list(digests))]
    Ambiguous {
        /// The prefix.
        prefix: String,
        /// The digests that it matches.
        digests: Vec<Digest>,
    },
    /// The engine failed at an operation that the checks had let through.
    #[error("the engine cannot {action}: {source:#}")]
    Engine {
        /// The action that failed, as a verb with its object.
        action: &'static str,
        /// The error of the engine.
        source: wasmtime::Error,
    },
}

/// Why a guest, its image or a witness calculator is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is not a core module that this engine accepts.
    #[error("it is not a valid core module: {0}")]
    Invalid(String),
    /// It has an import that the contract does not know.
    #[error("it imports `{module}.{name}`; the only import of the contract is `snapback.log (i32, i32)`")]
    Import {
        /// The import's module.
        module: String,
        /// The import's name.
        name: String,
    },
    /// It has an import that circom's calculators do not have.
    #[error("it imports `{module}.{name}`, which no witness calculator of circom 2 does")]
    CalculatorImport {
        /// The import's module.
        module: String,
        /// The import's name.
        name: String,
    },
    /// It lacks a required export, or the export has another type.
    #[error("it has no export `{name}` of the type {wanted}")]
    Export {
        /// The export.
        name: &'static str,
        /// The required type.
        wanted: &'static str,
    },
    /// It implements another version of the contract.
    #[error(
        "it speaks version {found} of the contract, and this host speaks version {}",
        snapback_abi::ABI_VERSION
    )]
    AbiVersion {
        /// The version that `snapback_abi` returned.
        found: i32,
    },
    /// It uses a feature whose state a snapshot cannot hold.
    #[error("a snapshot cannot hold {0}")]
    Unsupported(String),
    /// It is a prover that was compiled without wide arithmetic.
    #[error(
        "it exports `prove` but does not use wide arithmetic, so a proof would take five times as long. Compile \
         it with -Ctarget-feature=+wide-arithmetic"
    )]
    NoWideArithmetic,
    /// It exports functions that are not methods, and the bake refuses them (`--strict`).
    #[error("it exports functions that are not methods of the contract: {}", .0.join(", "))]
    ExtraExports(Vec<String>),
    /// The section that declares its media types cannot be read.
    #[error("its section `snapback.methods` {0}")]
    MediaTypes(String),
    /// Two runs of the initialiser with different entropy gave different images.
    #[error(
        "it keeps randomness of its bake, which every instance would share: two runs with different entropy \
         differ"
    )]
    BakedEntropy,
    /// The base was baked from another version of its guest, so its verifying keys cannot be checked.
    #[error("the base was baked from another version of its guest: bake again from the guest itself")]
    OldBase,
    /// Its manifest would be longer than [`MANIFEST_BYTES_MAX`](crate::MANIFEST_BYTES_MAX).
    #[error("its manifest with {inputs} inputs is too long")]
    TooManyInputs {
        /// Number of inputs.
        inputs: usize,
    },
    /// Its image would be larger than allowed.
    #[error("its image has {bytes} bytes, more than bake.image_bytes_max = {bytes_max}")]
    TooLarge {
        /// Size of the image in bytes.
        bytes: u64,
        /// The limit in bytes.
        bytes_max: u64,
    },
    /// Its initial memory is larger than allowed.
    #[error("it starts with {bytes} bytes of memory, more than bake.memory_limit = {bytes_max}")]
    Memory {
        /// Size of its initial memory in bytes.
        bytes: u64,
        /// The limit in bytes.
        bytes_max: u64,
    },
    /// Its instances would copy their memory instead of mapping it.
    #[error("each instance of its image would copy {bytes} bytes: copy-on-write does not hold")]
    NoCopyOnWrite {
        /// Size of the initialised memory in bytes.
        bytes: u64,
    },
    /// A circuit has another verifying key than expected, or one circuit is missing or surplus.
    #[error(
        "the verifying key of circuit `{circuit}` in the image differs from the one generated natively, or from \
         that of the base"
    )]
    Key {
        /// The circuit.
        circuit: String,
    },
    /// The native implementation refuses a circuit, or a proof that the image made.
    #[error("circuit `{circuit}` fails its check outside the image: {reason}")]
    Native {
        /// The circuit.
        circuit: String,
        /// The reason.
        reason: String,
    },
    /// Its list of circuits does not decode.
    #[error("its list of circuits {0}")]
    Circuits(String),
}

impl Error {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { action, path: path.into(), source }
    }

    pub(crate) fn engine(action: &'static str) -> impl FnOnce(wasmtime::Error) -> Self {
        move |source| Self::Engine { action, source }
    }
}

fn list(digests: &[Digest]) -> String {
    digests.iter().map(Digest::to_string).collect::<Vec<_>>().join(", ")
}
