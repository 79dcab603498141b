//! Drops retired instances on a thread of its own: returning the pages of a used instance takes milliseconds.
//!
//! Invariant: the queue is bounded. A lane that finds it full drops its instance itself, because the slots of the pool
//! are used up by then.

use super::polling;
use crate::{instance::Instance, telemetry::metrics::Metrics};
use crossbeam_channel::{Sender, TrySendError, bounded};
use std::{io, sync::Arc, thread, time::Instant};

/// Handle to the thread that drops instances.
pub(super) struct Reaper {
    retired: Sender<Instance>,
    metrics: Arc<Metrics>,
}

impl Reaper {
    /// Starts the thread with a queue for `retired_max` instances. It ends when the reaper is dropped.
    pub(super) fn start(retired_max: usize, metrics: Arc<Metrics>) -> io::Result<Self> {
        let (retired, queue) = bounded::<Instance>(retired_max);
        {
            let metrics = Arc::clone(&metrics);
            thread::Builder::new().name("reaper".into()).spawn(move || {
                for instance in polling::work(&queue) {
                    let begun = Instant::now();
                    drop(instance);
                    metrics.instance_dropped(begun.elapsed());
                }
            })?;
        }
        Ok(Self { retired, metrics })
    }

    /// Takes an instance that will not be called again.
    pub(super) fn retire(&self, instance: Instance) {
        self.metrics.instance_retired(instance.meter().now_bytes());
        if let Err(TrySendError::Full(instance) | TrySendError::Disconnected(instance)) =
            self.retired.try_send(instance)
        {
            self.metrics.reaper_full();
            drop(instance);
        }
    }
}
