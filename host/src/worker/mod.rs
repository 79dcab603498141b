//! Runs durable jobs on the lanes.
//!
//! ```text
//! desk        where the engine of the jobs is found once it is open
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
mod desk;
mod estimates;
mod job_span;
mod run;
mod share;

pub use answer::Explain;
pub use claims::Worker;
pub use desk::{JobClients, JobDesk, NoJobs};
