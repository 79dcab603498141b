//! What the threads of an engine share.
//!
//! Invariant: the counts of waiting jobs are changed by the writer's thread alone.

use super::{bodies::Bodies, deadlines::Deadlines};
use crate::jobs::{JobClock, JobLimits, fairness::Queues, seal::Seal, watchers::Watchers};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What the threads of an engine share.
pub(super) struct Shared {
    pub(super) limits: JobLimits,
    pub(super) clock: Arc<dyn JobClock>,
    pub(super) seal: Seal,
    pub(super) bodies: Arc<Bodies>,
    pub(super) queues: Mutex<Queues>,
    pub(super) deadlines: Deadlines,
    pub(super) watchers: Watchers,
    pub(super) work: Arc<Notify>,
    pub(super) delivery_work: Arc<Notify>,
}

impl Shared {
    pub(super) fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes everybody who waits for work, and the next one who will.
    pub(super) fn notify_work(&self) {
        self.work.notify_waiters();
        self.work.notify_one();
    }
}
