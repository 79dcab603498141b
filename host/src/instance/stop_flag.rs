//! Stops a call before it runs, or while it does.
//!
//! Invariant: a flag that is set stays set. A call that has not begun then never begins, and one that has begun ends within
//! an epoch once its guest computes.

use snapback_snapshot::epochs;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};
use wasmtime::{Store, UpdateDeadline};

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const STOPPED_BEFORE: u8 = 2;
const STOPPED: u8 = 3;

/// A flag through which other threads stop a call. Clones are the same flag.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicU8>);

/// When a call was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoppedWhen {
    /// Before it began. It never does.
    Waiting,
    /// When it had begun, or had ended.
    Begun,
}

/// The error with which a call ends whose flag was set.
#[derive(Debug, thiserror::Error)]
#[error("the call was cancelled")]
pub(super) struct Stopped;

impl StopFlag {
    /// Sets the flag, and returns what became of the call.
    pub fn set(&self) -> StoppedWhen {
        match self.0.compare_exchange(WAITING, STOPPED_BEFORE, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) | Err(STOPPED_BEFORE) => StoppedWhen::Waiting,
            Err(_) => {
                self.0.store(STOPPED, Ordering::Release);
                StoppedWhen::Begun
            }
        }
    }

    /// Begins the call. Returns false if the flag is set.
    #[must_use]
    pub(crate) fn begin(&self) -> bool {
        self.0.compare_exchange(WAITING, BEGUN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Whether the flag is set.
    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire) >= STOPPED_BEFORE
    }
}

/// Makes the next call in this store end when `deadline` has passed, or soon after its flag is set.
///
/// A call without a flag is interrupted by its deadline alone, so that the engine does not leave the guest before.
pub(super) fn bound<T: 'static>(store: &mut Store<T>, deadline: Duration, stop: Option<&StopFlag>) {
    let Some(stop) = stop.cloned() else {
        store.epoch_deadline_trap();
        store.set_epoch_deadline(epochs(deadline));
        return;
    };
    let mut left = epochs(deadline);
    store.epoch_deadline_callback(move |_| {
        if stop.is_set() {
            return Err(Stopped.into());
        }
        left = left.saturating_sub(1);
        Ok(if left == 0 { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) })
    });
    store.set_epoch_deadline(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_stopped_before_it_begins_or_begins() {
        let flag = StopFlag::default();
        assert_eq!((flag.set(), flag.set()), (StoppedWhen::Waiting, StoppedWhen::Waiting));
        assert!(!flag.begin());
        let flag = StopFlag::default();
        assert!(flag.begin() && !flag.is_set());
        assert_eq!(flag.set(), StoppedWhen::Begun);
        assert!(flag.is_set());
    }
}
