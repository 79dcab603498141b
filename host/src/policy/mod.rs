//! Decisions: when an instance is replaced, when an image gets no calls, and the values that users set for both.
//!
//! ```text
//! image_policy   what users set for an image             percent        a share, in hundredths
//! pressure       how full memory is                      reason         why an instance is replaced
//! decision       sample + policy -> keep, prepare, swap  growth         what a call is expected to add
//! breaker        stops calls to an image that fails all  swap_limiter   bounds swaps per minute
//! share          which calls of a rollout the policy applies to
//! ```
//!
//! Invariant: nothing here reads a clock, a counter of the system or a random number, and nothing here knows Wasmtime.
//! The caller passes the time and the sample.

pub(crate) mod breaker;
pub(crate) mod decision;
pub(crate) mod growth;
mod image_policy;
mod percent;
mod pressure;
mod reason;
pub(crate) mod share;
pub(crate) mod swap_limiter;

pub use breaker::BreakerState;
pub use image_policy::{MethodPolicy, Policy, SwapPolicy};
pub use percent::Percent;
pub use pressure::Pressure;
pub use reason::Reason;
