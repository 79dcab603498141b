//! Lanes: compute threads that run calls, each with an active instance and standbys of every service.
//!
//! ```text
//! pool            starts lanes, replaces stalled ones      control     handle through which others reach a lane
//! lane            one thread: takes calls from the queue   watchdog    finds calls that stall
//! executor        the instances of one service on a lane   context     what all lanes share
//!   active        the active instance and its life         attempt     one call, retried at most once
//!   standbys      standbys that are ready                  swap_gate   whether a swap may happen now
//! standby_maker   thread that makes standbys               reaper      thread that drops retired instances
//!   memory_listener   follows memory while a call runs
//!   reporter      events, metrics and status of an executor
//! call            a call on its way                        reply_sink  where its outcome goes
//!   stages        the stages of a call, as spans of its trace
//! status          what an executor reports about itself    sizing      how much memory a server needs
//! config          sizes and queues                         polling     how helper threads wait for work
//! ```
//!
//! Invariant: the reply comes first. Swapping, dropping and making instances happen after it, or on other threads. Only
//! a lane whose standbys have run out instantiates on a call's path, which `snapback_standby_missing_total` counts.

mod active;
mod attempt;
mod call;
mod config;
mod context;
mod control;
mod executor;
mod lane;
mod memory_listener;
mod polling;
mod pool;
mod reaper;
mod reply_sink;
mod reporter;
mod sizing;
mod stages;
mod standby_maker;
mod standbys;
mod status;
mod swap_gate;
mod watchdog;

pub(crate) use call::QueuedCall;
pub use call::{Body, BodyKind, CallRequest};
pub use config::LaneConfig;
pub use control::LaneCommand;
pub use lane::StartError;
pub(crate) use pool::LanePool;
pub(crate) use reply_sink::Reply;
pub use reply_sink::{Outcome, ReplySink};
pub use sizing::{Measured, Sizing};
pub use status::{ExecutorStatus, MemorySample, StandbyStatus};
