//! What can go wrong between a guest and its loaded image. One enum for the layer; each message says what
//! is wrong and, where something can be done, what.

use crate::{Digest, manifest::ManifestError};
use std::{io, path::PathBuf};

/// An error of the bake, the store or the native code cache.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb with its object.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The guest breaks the contract, or cannot be snapshotted; nothing was run yet.
    #[error("the guest is refused: {0}")]
    Refused(#[from] Refusal),
    /// A bake input is missing, superfluous, or not what it has to be.
    #[error("input `{name}`: {reason}")]
    Input {
        /// The name given with `--input name=file`.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A bake method replied with an error.
    #[error("the guest's `{method}` failed: {message}")]
    Initialiser {
        /// The bake method.
        method: String,
        /// The guest's own message, or how it trapped.
        message: String,
    },
    /// The call that was to be tried failed.
    #[error("the trial call of `{method}` failed: {message}")]
    Trial {
        /// The method.
        method: String,
        /// The guest's own message, or how it was stopped.
        message: String,
    },
    /// An image file is not what its name, its manifest or this version says.
    #[error("{} is not a usable image: {reason}. Remove it (`snapback images remove`) and bake again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The manifest in an image cannot be read.
    #[error("the manifest of {} is unreadable: {source}; if it is an image, bake it again", path.display())]
    Manifest {
        /// The image.
        path: PathBuf,
        /// Why.
        source: ManifestError,
    },
    /// No image of that name, digest or path.
    #[error(
        "no image `{0}` (a digest's beginning has at least four digits): `snapback images` lists those in the store, `snapback bake` makes one"
    )]
    NoSuchImage(String),
    /// A prefix fits several images.
    #[error("`{prefix}` fits {} images: {}", digests.len(), list(digests))]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// What it fits.
        digests: Vec<Digest>,
    },
    /// The engine failed at something that the checks let through.
    #[error("the engine cannot {action}: {source:#}")]
    Engine {
        /// What was tried, as a verb with its object.
        action: &'static str,
        /// The engine's reason.
        source: wasmtime::Error,
    },
}

/// Why a guest, or what became of it, is refused at bake time.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Not a core module that this engine accepts.
    #[error("it is not a valid core module: {0}")]
    Invalid(String),
    /// An import that the contract does not know.
    #[error("it imports `{module}.{name}`; the contract has no import but `snapback.log (i32, i32)`")]
    Import {
        /// The import's module.
        module: String,
        /// The import's name.
        name: String,
    },
    /// An import that circom's calculators do not have.
    #[error("it imports `{module}.{name}`, which no witness calculator of circom 2 does")]
    CalculatorImport {
        /// The import's module.
        module: String,
        /// The import's name.
        name: String,
    },
    /// An export that the contract requires is missing or has another type.
    #[error("it has no export `{name}` of type {wanted}")]
    Export {
        /// The export.
        name: &'static str,
        /// Its type.
        wanted: &'static str,
    },
    /// It speaks another version of the contract.
    #[error("it speaks version {found} of the contract, this host speaks {}", snapback_abi::ABI_VERSION)]
    AbiVersion {
        /// What `snapback_abi` answered.
        found: i32,
    },
    /// Something that a snapshot cannot hold.
    #[error("a snapshot cannot hold {0}")]
    Unsupported(String),
    /// A prover that was compiled without wide arithmetic.
    #[error(
        "it exports `prove` and has no wide arithmetic: a proof would take five times as long. Compile it with \
         -Ctarget-feature=+wide-arithmetic"
    )]
    NoWideArithmetic,
    /// Two bakes with different entropy gave different images.
    #[error(
        "it keeps randomness from its bake (two bakes with different entropy differ), which every instance would share"
    )]
    BakedEntropy,
    /// Nothing here knows what the circuits of such a base should be.
    #[error("the base was baked from another version of its guest: bake anew from the guest")]
    OldBase,
    /// Its manifest would be longer than one is read.
    #[error("its {inputs} inputs and circuits do not fit a manifest")]
    TooManyInputs {
        /// How many it has.
        inputs: usize,
    },
    /// The image would be larger than allowed.
    #[error("its image has {bytes} bytes, more than bake.image_bytes_max = {bytes_max}")]
    TooLarge {
        /// Size of the image.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// It starts with more memory than an initialiser may use.
    #[error("it starts with {bytes} bytes of memory, more than bake.memory_limit = {bytes_max}")]
    Memory {
        /// Size of its memory.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// Instances would copy their memory instead of mapping it.
    #[error("instances of its image would copy {bytes} bytes each: copy-on-write does not hold")]
    NoCopyOnWrite {
        /// Bytes of initialised memory.
        bytes: u64,
    },
    /// A circuit has another verifying key than it should.
    #[error(
        "circuit `{circuit}` has another verifying key in the image than its native twin makes, or than it had before"
    )]
    Key {
        /// The circuit.
        circuit: String,
    },
    /// The native twin does not take what the image made.
    #[error("circuit `{circuit}` fails its check outside the image: {reason}")]
    Twin {
        /// The circuit.
        circuit: String,
        /// What the twin says.
        reason: String,
    },
    /// The list of circuits does not decode.
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
