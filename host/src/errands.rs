//! How the helper threads wait for work: without having to be woken for each piece of it.
//!
//! Waking a thread takes a lane longer than a whole swap. A helper that has just worked therefore naps instead of
//! waiting, and looks again; only one that has had nothing to do for a while waits to be woken.
//!
//! Invariant: a helper that naps finds within a nap what was sent to it, and one that waits is woken.

use crossbeam_channel::{Receiver, TryRecvError};
use std::{thread, time::Duration};

/// How long a helper looks away: whoever sends to it has to be able to wait that long. Shorter naps cost more
/// processor time than the waking that they save.
const NAP: Duration = Duration::from_millis(1);
/// Naps without work after which it waits to be woken: a tenth of a second.
const NAPS_MAX: u32 = 100;

/// The pieces of work of a helper thread, until nobody can send any more.
pub(crate) fn errands<T>(queue: &Receiver<T>) -> impl Iterator<Item = T> {
    std::iter::from_fn(move || {
        for _ in 0..NAPS_MAX {
            match queue.try_recv() {
                Ok(errand) => return Some(errand),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => thread::sleep(NAP),
            }
        }
        queue.recv().ok()
    })
}
