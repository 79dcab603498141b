//! Serves images. A request is admitted, waits in a bounded queue, runs on a lane in an instance that is
//! there already, and the instance is retired.
//!
//! ```text
//! cli -> http -> dispatch -> lane -> {generation, instance} -> snapshot -> guest/abi
//! ```
//!
//! Invariant: a request never waits for an instantiation, a teardown, a compilation or a bake.

pub mod cli;
pub mod config;
pub mod dispatch;
pub mod entropy;
pub mod generation;
pub mod http;
pub mod instance;
pub mod job;
mod lane;
pub mod meter;
pub mod metrics;
mod nursery;
mod reaper;
pub mod shutdown;
