//! Serves images. A request is admitted, waits in a bounded queue, runs on a lane in an instance that is
//! there already, and the instance is retired.
//!
//! ```text
//! cli -> http -> dispatch -> crew -> lane -> seat -> {generation, instance} -> snapshot -> guest/abi
//! ```
//!
//! Invariant: a request never waits for an instantiation, a teardown, a compilation or a bake.

mod apart;
pub mod breaker;
pub mod circuits;
pub mod cli;
pub mod config;
mod crew;
pub mod dispatch;
pub mod entropy;
mod errands;
pub mod events;
pub mod generation;
mod growth;
pub mod http;
pub mod instance;
pub mod job;
mod lane;
pub mod meter;
pub mod metrics;
mod nursery;
pub mod policy;
pub mod pressure;
pub mod process;
mod reaper;
pub mod seams;
mod seat;
pub mod shutdown;
pub mod sizing;
mod storm;
mod watch;
pub mod witness;
