//! Circuits as data, on a server that runs: what there is, what is wanted, and how one becomes the other.
//!
//! ```text
//! http -> keeper -> catalogue          a change is accepted: it is on disk
//!         keeper -> baker -> store     a process of its own bakes the next image from the one that is served
//!         keeper -> generation -> catalogue -> dispatch    checked, made durable, published
//! ```
//!
//! Invariant: what is served is the catalogue's active generation, and a change either becomes one or leaves its reason.

mod baker;
mod calculators;
mod catalogue;
mod keeper;
mod opened;
mod proofs;
mod rounds;

pub use catalogue::{
    CatalogueError, Change, Edition, Entry, GenerationId, Job, JobId, JobState, named_by_any,
};
pub use keeper::{Files, Keeper, Refused, Submitted};
pub use opened::Opened;
pub use proofs::ProofJson;
