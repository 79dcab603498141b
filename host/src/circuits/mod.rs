//! Circuits as data on a running server: the circuits that are served, those that are wanted, and the way from one to
//! the other.
//!
//! ```text
//! admission       requests of clients, and the answers                     registry      one service's circuits
//! intake          checks the files of a circuit, and admits the change
//! change          a change, and its states                                 catalogue     generations and changes
//! reconciler      bakes the changes that wait, and publishes them          bake_process  a process that bakes
//! turn            which changes are baked next                             shelf         the catalogue, on disk
//! upload          files of a circuit while they arrive
//! publication     prepares, serves and sweeps generations                  calculators   of the served generation
//! recovery        continues with the files of the last server              change_error  why a change is not done
//! cancellation    cancels changes                                          proof_json    a proof as clients read it
//! scrub           hashes what is served, in the background
//! ```
//!
//! A change is accepted once it is on disk. A process of its own then bakes the next image from the one that is served;
//! the image is checked, made durable in the catalogue, and published.
//!
//! Invariant: the served generation is the active one of the catalogue, and every accepted change either becomes part
//! of a generation, fails with a reason, or is cancelled.

mod admission;
mod bake_process;
mod calculators;
mod cancellation;
mod catalogue;
mod change;
mod change_error;
mod intake;
mod proof_json;
mod publication;
mod reconciler;
mod recovery;
mod registry;
mod scrub;
mod shelf;
mod turn;
mod upload;

pub use admission::{Reach, Refused, Replace, Sender, Submitted};
pub use catalogue::{Catalogue, GenerationRecord};
pub use change::{Added, Change, ChangeKind, ChangeState, Entry};
pub use intake::Registries;
pub use proof_json::ProofTimes;
pub use recovery::Recovery;
pub use registry::{Progress, Registry};
pub(crate) use scrub::scrub;
pub use shelf::{CatalogueError, named_by_any, parse_catalogue, write_catalogue};
pub use upload::{Incoming, Received, Upload};
