//! One image ready to serve, and one copy-on-write instance of it.
//!
//! ```text
//! generation    a loaded image with everything that its instances share
//! view          an instance: store, exports, calls          state      what the store of an instance holds
//! entropy       the randomness of one call                  fault      why a call returned no reply
//! stop_flag     stops a call before it runs, or while it does
//! ```
//!
//! Invariant: a call begins and ends in one instance, and an instance that faulted is never called again.

mod entropy;
mod fault;
mod generation;
mod state;
mod stop_flag;
mod view;

pub use entropy::Entropy;
pub use fault::Fault;
pub use generation::{Generation, NotServable};
pub use state::HostState;
pub use stop_flag::{StopFlag, StoppedWhen};
pub use view::{Call, Condition, Instance};
