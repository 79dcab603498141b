//! Drops retired instances off the path: giving back the pages of a used instance takes milliseconds.
//!
//! Invariant: its queue is bounded. A lane that finds it full drops its instance itself, since the pool's
//! slots are all taken by then.

use crate::{errands::errands, instance::Instance, metrics::Metrics};
use crossbeam_channel::{Sender, TrySendError, bounded};
use std::{io, sync::Arc, thread, time::Instant};

/// The thread that drops instances.
pub(crate) struct Reaper {
    retired: Sender<Instance>,
    metrics: Arc<Metrics>,
}

impl Reaper {
    /// Starts it, with room for that many instances. Its thread ends with the last lane.
    pub(crate) fn start(room: usize, metrics: Arc<Metrics>) -> io::Result<Self> {
        let (retired, queue) = bounded::<Instance>(room);
        {
            let metrics = Arc::clone(&metrics);
            thread::Builder::new().name("reaper".into()).spawn(move || {
                for instance in errands(&queue) {
                    let begun = Instant::now();
                    drop(instance);
                    metrics.instance_dropped(begun.elapsed());
                }
            })?;
        }
        Ok(Self { retired, metrics })
    }

    /// Takes an instance that will not be called again.
    pub(crate) fn retire(&self, instance: Instance) {
        self.metrics.memory_peak(instance.meter().now_bytes());
        if let Err(TrySendError::Full(instance) | TrySendError::Disconnected(instance)) =
            self.retired.try_send(instance)
        {
            self.metrics.reaper_full();
            drop(instance);
        }
    }
}
