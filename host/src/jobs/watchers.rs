//! Who is told about changes of jobs.
//!
//! Invariant: entries without a receiver never outnumber those with one by more than the slack, so that watchers that
//! left leave nothing that grows.

use super::JobId;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};
use tokio::sync::watch;

/// Entries that may be without a receiver before the others are looked through.
const SLACK: usize = 64;

/// Receivers of changes, by job.
#[derive(Default)]
pub(super) struct Watchers {
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    senders: HashMap<JobId, watch::Sender<u64>>,
    /// Entries that had a receiver when all were last looked through.
    live: usize,
}

impl Watchers {
    /// A receiver of the changes of a job.
    pub(super) fn watch(&self, job: JobId) -> watch::Receiver<u64> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.senders.len() >= 2 * entries.live + SLACK {
            entries.senders.retain(|_, sender| sender.receiver_count() > 0);
            entries.senders.shrink_to(4 * SLACK);
            entries.live = entries.senders.len();
        }
        entries.senders.entry(job).or_default().subscribe()
    }

    /// Tells the watchers of a job that its record changed.
    pub(super) fn changed(&self, job: JobId) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = entries.senders.get(&job) else { return };
        if sender.receiver_count() == 0 {
            entries.senders.remove(&job);
        } else {
            sender.send_modify(|changes| *changes += 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::{Timestamp, ids::JobIds};

    #[test]
    fn watchers_that_left_leave_nothing_that_grows() {
        let watchers = Watchers::default();
        let mut ids = JobIds::default();
        let stays = ids.next(Timestamp::default());
        let mut receiver = watchers.watch(stays);
        for _ in 0..10_000 {
            drop(watchers.watch(ids.next(Timestamp::default())));
        }
        assert!(watchers.entries.lock().expect("no thread panicked").senders.len() < 3 * SLACK);
        watchers.changed(stays);
        assert!(receiver.has_changed().expect("the sender is kept"));
        assert_eq!(*receiver.borrow_and_update(), 1);
    }
}
