//! Turns guests into loaded images: bakes, stores, compiles and maps them.
//!
//! ```text
//! guest -> check -> wizen(inputs) -> native -> trial -> manifest -> store -> LoadedImage
//! ```
//!
//! Invariant: nothing here knows about lanes, requests or HTTP; `snapshot` never imports `host`.

mod bake;
mod calculator_check;
pub mod calculators;
pub mod call;
mod check;
mod confirmation;
mod cow;
mod digest;
mod dir;
mod engine;
mod error;
mod features;
mod guests;
mod identity;
mod image;
pub mod imports;
mod initialise;
mod inputs;
mod lease;
pub mod manifest;
mod manifest_section;
mod mapped;
mod native;
mod native_check;
mod native_code;
mod native_key;
mod native_record;
pub mod proof_systems;
mod references;
mod sealed;
mod segments;
mod store;
mod trial;
mod wizen;

pub use bake::{BakeEnvironment, Baked, Progress, Stage, bake, earlier_bake};
pub use confirmation::{Confirmation, Confirmed, Unconfirmed};
pub use cow::CopyOnWrite;
pub use digest::{Digest, Hasher, NotADigest};
pub use dir::{Dir, TemporaryFile};
pub use engine::{MEMORY_BYTES_MAX, Ticker, engine, epochs};
pub use error::{Error, Refusal};
pub use features::{Feature, Simd};
pub use guests::{Base, Guest, InstanceUse};
pub use identity::Unrecorded;
pub use image::SealedImage;
pub use inputs::{BakeLimits, ExtraExports, Input};
pub use manifest_section::{MANIFEST_BYTES_MAX, ManifestError, SECTION};
pub use mapped::Mapped;
pub use native::{CacheMode, NativeCache};
pub use native_check::{CheckMode, LoadTimes, NativeCheck, WhyFull};
pub use native_code::{LoadedImage, Miss, Origin};
pub use references::{Portion, ReferenceStore, References};
pub use store::{BAKE_DIRECTORIES, ImageStore, Stored, parse_record};
pub use trial::TrialCall;
