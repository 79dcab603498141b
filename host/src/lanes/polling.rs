//! How helper threads wait for work without being woken for each piece of it.
//!
//! Waking a thread takes a lane longer than a whole swap. A helper that has just worked therefore sleeps briefly and
//! looks at its queue again; only a helper that has been idle for a while blocks until it is woken.
//!
//! Invariant: while it polls, a helper finds new work within one sleep; while it blocks, new work wakes it.

use crossbeam_channel::{Receiver, TryRecvError};
use std::{thread, time::Duration};

/// Sleep between two looks at the queue; senders of work must be able to wait that long. Shorter sleeps cost more
/// processor time than the wake-ups that they save.
const SLEEP: Duration = Duration::from_millis(1);
/// Number of sleeps without work after which the helper blocks: a tenth of a second.
const SLEEPS_MAX: u32 = 100;

/// Iterates over the work in a queue, until every sender is gone.
pub(super) fn work<T>(queue: &Receiver<T>) -> impl Iterator<Item = T> {
    std::iter::from_fn(move || {
        for _ in 0..SLEEPS_MAX {
            match queue.try_recv() {
                Ok(work) => return Some(work),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => thread::sleep(SLEEP),
            }
        }
        queue.recv().ok()
    })
}
