//! Runs durable jobs on the lanes.
//!
//! ```text
//! handle      the handle of the job engine, which is opened after the start
//! claims      claims jobs while there is room for them, and sweeps
//! run         one job: lease, call, outcome
//! share       which jobs get the result of identical work instead
//! job_span    the span of an attempt at a job
//! answer      what a client reads of a call that has ended
//! estimates   how long calls of each kind take
//! ```
//!
//! The engine is opened beside the server's start, so that a cold start does not wait for a disk. A job occupies a lane
//! as any call does; at most `jobs.running_max` are on their way at once, so that calls whose clients wait get through.
//!
//! Invariant: a claimed job is finished, given back, or its lease runs out; each of these is stored by the engine.

mod answer;
mod claims;
mod estimates;
mod handle;
mod job_span;
mod run;
mod share;

pub use answer::Explain;
pub use claims::Worker;
pub use handle::{JobClients, JobHandle, NoJobs};
