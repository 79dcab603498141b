//! How a call ended, and where that goes: an HTTP reply, a durable job, a test.
//!
//! Invariant: every admitted call delivers exactly one outcome to its sink, or is counted as lost.

use crate::{instance::Fault, telemetry::metrics::Metrics};
use snapback_snapshot::call;
use std::{sync::Arc, time::Duration};
use tokio::sync::oneshot;

/// How a call ended.
pub struct Outcome {
    /// The reply, or why there is none.
    pub result: Result<call::Reply, Fault>,
    /// How long the call ran.
    pub took: Duration,
    /// How much of that the witness calculator ran.
    pub witness_took: Duration,
}

/// Takes the outcome of one call.
pub trait ReplySink: Send {
    /// Whether nobody waits for the outcome any more. A call that waits in the queue is then dropped; one that has
    /// begun is finished.
    fn is_closed(&self) -> bool;

    /// Delivers the outcome.
    fn deliver(self: Box<Self>, outcome: Outcome);
}

impl ReplySink for oneshot::Sender<Outcome> {
    fn is_closed(&self) -> bool {
        Self::is_closed(self)
    }

    fn deliver(self: Box<Self>, outcome: Outcome) {
        // Fails if the receiver has gone, and nobody waits for the outcome then.
        let _ = self.send(outcome);
    }
}

/// A sink that counts the call as lost when it is dropped unused.
pub(crate) struct Reply {
    sink: Option<Box<dyn ReplySink>>,
    metrics: Arc<Metrics>,
}

impl Reply {
    pub(crate) fn new(sink: Box<dyn ReplySink>, metrics: &Arc<Metrics>) -> Self {
        Self { sink: Some(sink), metrics: Arc::clone(metrics) }
    }

    /// Whether nobody waits for the outcome any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.sink.as_ref().is_none_or(|sink| sink.is_closed())
    }

    /// Delivers the outcome.
    pub(crate) fn deliver(mut self, outcome: Outcome) {
        if let Some(sink) = self.sink.take() {
            sink.deliver(outcome);
        }
    }

    /// Drops the sink of a call that was not admitted, or whose client has gone.
    pub(crate) fn withdraw(mut self) {
        self.sink = None;
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.sink.as_ref().is_some_and(|sink| !sink.is_closed()) {
            self.metrics.call_lost();
            tracing::error!("a call was dropped without a reply: please report this");
        }
    }
}
