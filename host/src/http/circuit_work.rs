//! Threads for work on circuits: it reads and writes files, and waits for publications.
//!
//! Invariant: however many clients ask for it, this work holds a few threads, and a bounded number of requests waits
//! for them. Health, metrics, calls and shutdown never wait behind it.

use super::{error::ApiError, off_path::off_path};
use crate::{
    circuits::Refused,
    dispatch::Rejected,
    telemetry::metrics::{Limit, Metrics},
};
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};

/// Requests that are worked on at once: uploads are checked while a generation is activated.
const THREADS: usize = 4;

/// Room for work on circuits.
pub(super) struct CircuitWork {
    threads: Arc<Semaphore>,
    places: Arc<Semaphore>,
    waiting_max: usize,
    metrics: Arc<Metrics>,
}

impl CircuitWork {
    /// `waiting_max` is the number of requests that may wait, `circuits.changes_max`.
    pub(super) fn new(waiting_max: usize, metrics: &Arc<Metrics>) -> Self {
        Self {
            threads: Arc::new(Semaphore::new(THREADS)),
            places: Arc::new(Semaphore::new(waiting_max + THREADS)),
            waiting_max,
            metrics: Arc::clone(metrics),
        }
    }

    /// Runs work once a thread is free.
    ///
    /// # Errors
    /// Returns an error if too many requests wait, or the server begins to drain meanwhile.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        draining: &watch::Sender<bool>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.metrics.request_rejected(Limit::Changes);
            return Err(Refused::TooMany(self.waiting_max).into());
        };
        let mut draining = draining.subscribe();
        let thread = tokio::select! {
            thread = Arc::clone(&self.threads).acquire_owned() => thread.expect("never closed"),
            _ = draining.wait_for(|draining| *draining) => return Err(ApiError::Rejected(Rejected::Draining)),
        };
        off_path(move || {
            let done = work();
            drop((thread, place));
            done
        })
        .await
    }
}
