//! A call on its way: what a client asks for, and its place in the queue.
//!
//! Invariant: a body and its share of `http.buffered_bytes_max` live and die together, whatever becomes of the client.

use super::reply_sink::Reply;
use crate::{
    ids::{ServiceId, Tenant},
    instance::StopFlag,
    policy::breaker::Probe,
    telemetry::traces::Trace,
};
use std::time::Instant;
use tokio::sync::OwnedSemaphorePermit;
use zeroize::Zeroizing;

/// The body of a request; overwritten when it is dropped.
#[derive(Default)]
pub struct Body {
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// Its share of the budget for all bodies.
    pub(crate) share: Option<OwnedSemaphorePermit>,
}

impl Body {
    /// Returns the bytes, and their share of the budget, which the caller holds for as long as them.
    pub(crate) fn into_parts(self) -> (Zeroizing<Vec<u8>>, Option<OwnedSemaphorePermit>) {
        (self.bytes, self.share)
    }
}

impl From<Zeroizing<Vec<u8>>> for Body {
    /// A body outside the budget, from a caller in this process.
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self { bytes, share: None }
    }
}

impl From<Vec<u8>> for Body {
    /// A body outside the budget, from a caller in this process.
    fn from(bytes: Vec<u8>) -> Self {
        Zeroizing::new(bytes).into()
    }
}

/// A call that a client asks for.
pub struct CallRequest {
    /// The service.
    pub service: ServiceId,
    /// Name of the method.
    pub method: String,
    /// The circuit that the call concerns; empty if none.
    pub circuit: String,
    /// The client's bytes.
    pub body: Body,
    /// What these bytes are.
    pub kind: BodyKind,
    /// Whose circuits the call may concern, beside those for all; `None` if everybody's.
    pub tenant: Option<Tenant>,
    /// Stops the call before it runs or while it does, if its caller may want that.
    pub stop: Option<StopFlag>,
    /// Where the stages of the call are recorded.
    pub trace: Trace,
}

/// What the body of a request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyKind {
    /// Input of the guest's method.
    #[default]
    Raw,
    /// Inputs of a circuit, from which its witness calculator makes the input of the method.
    Inputs,
    /// Inputs of a circuit whose witness is the reply. The guest is not called.
    InputsOfWitness,
}

/// A call in the queue.
pub(crate) struct QueuedCall {
    pub(crate) request: CallRequest,
    pub(crate) queued: Instant,
    pub(crate) reply: Reply,
    /// Number of the probe, if the call probes the breaker of its image.
    pub(crate) probe: Option<Probe>,
}
