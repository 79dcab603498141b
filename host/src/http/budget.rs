//! Budgets for bytes: in memory for bodies that arrive, what is made of them, and replies on their way; on disk for circuits
//! that arrive.
//!
//! Invariant: whoever holds bytes for a client holds their share of `http.buffered_bytes_max` or of
//! `circuits.upload_bytes_max`, and each refusal is counted.

use super::{error::ApiError, off_path::off_path};
use crate::{
    memory::trim::trim,
    telemetry::metrics::{Limit, Metrics},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How often the budget is checked for memory that can be returned to the kernel.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How much has to be free again before memory is returned, in bytes.
const TRIM_FROM: usize = 16 << 20;

/// A budget of a server.
pub(super) struct Budget {
    bytes: Arc<Semaphore>,
    bytes_max: usize,
    limit: Limit,
    /// The most that was reserved since memory was last returned. Relaxed: it is an estimate.
    most: AtomicUsize,
    metrics: Arc<Metrics>,
}

impl Budget {
    pub(super) fn new(bytes_max: u64, limit: Limit, metrics: &Arc<Metrics>) -> Self {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self {
            bytes: Arc::new(Semaphore::new(bytes_max)),
            bytes_max,
            limit,
            most: AtomicUsize::new(0),
            metrics: Arc::clone(metrics),
        }
    }

    /// Reserves a share.
    ///
    /// # Errors
    /// Returns an error if the rest of the budget is smaller.
    pub(super) fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        let bytes = u32::try_from(bytes).ok();
        let share = bytes.and_then(|bytes| Arc::clone(&self.bytes).try_acquire_many_owned(bytes).ok());
        let share = share.ok_or_else(|| {
            self.metrics.request_rejected(self.limit);
            ApiError::Overloaded(self.limit)
        })?;
        self.most.fetch_max(self.used(), Ordering::Relaxed);
        Ok(share)
    }

    /// Checks that there is room for this many bytes, which are not reserved.
    ///
    /// # Errors
    /// Returns an error if there is not.
    pub(super) fn check(&self, bytes: u64) -> Result<(), ApiError> {
        if bytes > self.bytes.available_permits() as u64 {
            self.count(self.limit);
            return Err(ApiError::Overloaded(self.limit));
        }
        Ok(())
    }

    /// Counts a request that is refused because of a limit of the same transfer.
    pub(super) fn count(&self, limit: Limit) {
        self.metrics.request_rejected(limit);
    }

    /// Bytes that are reserved.
    pub(super) fn used(&self) -> usize {
        self.bytes_max - self.bytes.available_permits()
    }

    /// Returns memory to the kernel whenever much of what was reserved is free again. Never ends.
    pub(super) async fn return_memory(&self) {
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            let used = self.used();
            if self.most.load(Ordering::Relaxed).saturating_sub(used) >= TRIM_FROM {
                self.most.store(used, Ordering::Relaxed);
                let _ = off_path(trim).await;
            }
        }
    }
}
