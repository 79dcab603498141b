//! From a guest to a loaded image: bake, store, compile, map.
//!
//! ```text
//! guest -> check -> wizen(inputs) -> native -> trial -> manifest -> store -> LoadedImage
//! ```
//!
//! Invariant: nothing here knows of lanes, requests or HTTP; `snapshot` never imports `host`.

mod bake;
pub mod calculators;
pub mod call;
mod check;
pub mod circuits;
mod cow;
mod digest;
mod engine;
mod error;
pub mod files;
mod guests;
mod image;
mod inputs;
pub mod manifest;
mod native;
mod segments;
mod srs;
mod store;
mod trial;
mod wizen;

pub use bake::{Baked, Progress, Stage, bake, bake_key};
pub use cow::CopyOnWrite;
pub use digest::{Digest, NotADigest};
pub use engine::{MEMORY_BYTES_MAX, Ticker, engine, epochs};
pub use error::{Error, Refusal};
pub use guests::{Base, Guest};
pub use image::SealedImage;
pub use inputs::{BakeLimits, Input};
pub use native::{LoadedImage, Miss, NativeCache, Origin};
pub use store::{ImageStore, Stored};
pub use trial::TrialCall;
