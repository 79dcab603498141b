//! Serves images. A request is admitted, waits in a bounded queue, and runs on a lane in an instance that is ready
//! before the request needs it; the lane replaces the instance afterwards.
//!
//! ```text
//! cli -> http -> webhooks -> worker -> circuits -> dispatch -> lanes -> service -> telemetry -> instance -> snapshot -> guest/abi
//! ```
//!
//! Imports run in this direction only; `tests/architecture.rs` checks every file. The rooms:
//!
//! | room | what it is for |
//! |---|---|
//! | [`cli`] | the command line, one file for each subcommand |
//! | [`http`] | the HTTP server, one file for each resource |
//! | [`webhooks`] | tells receivers about the ends of jobs |
//! | [`worker`] | runs durable jobs on the lanes |
//! | [`circuits`] | circuits as data: accepted, baked, published |
//! | [`dispatch`] | admission, and the queue in front of the lanes |
//! | [`lanes`] | compute threads, with their active instances and standbys |
//! | [`service`] | one served image, with its policy and circuit breaker |
//! | [`telemetry`] | metrics, events, the last hour of calls |
//! | [`instance`] | a generation, and one instance of it |
//! | [`witness`] | inputs as JSON, and the calculators that make witnesses from them |
//! | [`policy`], [`memory`] | decisions; measurements |
//! | [`access`] | keys, tenants and their quotas, and the audit log |
//! | [`jobs`] | durable jobs: calls that outlive their connection |
//! | [`config`] | the table of settings, and where values come from |
//!
//! Invariant: nothing slow is on a request's path. A lane instantiates for a call only if its standbys have run out,
//! which `snapback_standby_missing_total` counts; it never compiles, bakes or drops there.

pub mod access;
pub mod circuits;
pub mod cli;
pub mod config;
pub mod dispatch;
pub mod http;
pub mod ids;
pub mod instance;
pub mod jobs;
pub mod lanes;
pub mod memory;
pub mod policy;
pub mod sandbox;
pub mod seams;
pub mod service;
mod subprocess;
pub mod telemetry;
pub mod webhooks;
pub mod witness;
pub mod worker;
