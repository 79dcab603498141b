//! A call on its way: what a client asks for, and how it ended. Made by `http`, queued by `dispatch`, run by `lane`.
//!
//! Invariant: a body and its share of `http.buffered_bytes_max` live and die together, wherever the client is;
//! and a call that was admitted is answered once, or counted as lost.

use crate::{breaker::Probe, instance::Fault, metrics::Metrics};
use snapback_snapshot::call::Reply;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
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
    /// What they are.
    pub form: Form,
}

/// What a client's bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// What the guest reads.
    #[default]
    Raw,
    /// Inputs of a circuit, which its calculator makes a witness of.
    Inputs,
}

/// A call in the queue.
pub(crate) struct Job {
    pub(crate) ask: Ask,
    pub(crate) queued: Instant,
    pub(crate) answer: Answer,
    /// Its number, if it probes the image's breaker.
    pub(crate) probe: Option<Probe>,
}

/// How a call ended.
pub struct Outcome {
    /// The reply, or why there is none.
    pub result: Result<Reply, Fault>,
    /// How long it ran.
    pub took: Duration,
    /// How much of that a witness calculator ran.
    pub witness_took: Duration,
}

/// The way back to the client, to be used once.
pub(crate) struct Answer {
    client: Option<oneshot::Sender<Outcome>>,
    metrics: Arc<Metrics>,
}

impl Answer {
    pub(crate) fn new(metrics: &Arc<Metrics>) -> (Self, oneshot::Receiver<Outcome>) {
        let (client, outcome) = oneshot::channel();
        (Self { client: Some(client), metrics: Arc::clone(metrics) }, outcome)
    }

    /// Whether the client has gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.client.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    pub(crate) fn send(mut self, outcome: Outcome) {
        if let Some(client) = self.client.take() {
            // The client may have gone: its answer is then nobody's.
            let _ = client.send(outcome);
        }
    }

    /// The call was not admitted after all: its client is told otherwise.
    pub(crate) fn withdraw(mut self) {
        self.client = None;
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if self.client.as_ref().is_some_and(|client| !client.is_closed()) {
            self.metrics.lost();
            tracing::error!("a call was dropped without an answer: please report this");
        }
    }
}
