//! The streams to pages, as all parts of the server share them.
//!
//! Invariant: streams hold at most a quarter of `http.connections_max`.

use axum::response::sse;
use std::sync::Arc;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast};

/// Messages that a slow page may be behind. It misses older ones, which later ones make up for.
const BACKLOG: usize = 128;
/// Streams may hold one connection of so many.
const SHARE_OF_CONNECTIONS: usize = 4;

/// The streams to pages.
pub(super) struct Watchers {
    pub(super) messages: broadcast::Sender<sse::Event>,
    /// Notified when a stream begins, so that somebody listens to events from then on.
    pub(super) opened: Notify,
    places: Arc<Semaphore>,
}

impl Watchers {
    pub(super) fn new(connections_max: usize) -> Self {
        Self {
            messages: broadcast::Sender::new(BACKLOG),
            opened: Notify::new(),
            places: Arc::new(Semaphore::new((connections_max / SHARE_OF_CONNECTIONS).max(1))),
        }
    }

    /// Takes a place for one more stream, until it is dropped; `None` if there is none.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }
}
