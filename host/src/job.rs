//! A call on its way: what a client asks for, and how it ended. Made by `http`, queued by `dispatch`, run by `lane`.
//!
//! Invariant: a body and its share of `http.buffered_bytes_max` live and die together, wherever the client is.

use crate::instance::Fault;
use snapback_snapshot::call::Reply;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use zeroize::Zeroizing;

/// A request's body in memory; overwritten when it is dropped.
#[derive(Default)]
pub struct Body {
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// Its share of the budget of all bodies.
    pub(crate) share: Option<OwnedSemaphorePermit>,
}

impl From<Vec<u8>> for Body {
    /// A body outside the budget: of a caller in this process.
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes: Zeroizing::new(bytes), share: None }
    }
}

/// What a client asks for.
pub struct Ask {
    /// Index of the service.
    pub service: usize,
    /// The method's name.
    pub method: String,
    /// The circuit it concerns, or nothing.
    pub circuit: String,
    /// The client's bytes.
    pub body: Body,
    /// How long the call may run, from the moment it begins.
    pub deadline: Duration,
}

/// A call in the queue.
pub(crate) struct Job {
    pub(crate) ask: Ask,
    pub(crate) queued: Instant,
    pub(crate) reply: oneshot::Sender<Outcome>,
}

/// How a call ended.
pub struct Outcome {
    /// The reply, or why there is none.
    pub result: Result<Reply, Fault>,
    /// How long it ran.
    pub took: Duration,
}
