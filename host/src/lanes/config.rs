//! Sizes of the lanes and of the queues around them.
//!
//! Invariant: every queue and every number of instances follows from these values, so all of them are bounded.

use std::time::Duration;

/// Most standbys of a server, over all lanes and services: each takes a slot of the pool, which is address space.
const STANDBYS_MAX: usize = 1024;

/// Sizes of the lanes and of the queue in front of them.
#[derive(Clone, Copy, Debug)]
pub struct LaneConfig {
    /// Number of compute threads.
    pub lanes: usize,
    /// Number of calls that may wait.
    pub queue_depth: usize,
    /// Longest reply of a guest, in bytes.
    pub reply_bytes_max: u64,
    /// How often an idle lane samples its instances.
    pub sample_interval: Duration,
    /// Most standbys of one lane and service; `None` derives it from the number of lanes and services.
    pub standby_max: Option<usize>,
}

impl LaneConfig {
    /// Most standbys of one executor, given how many executors there are.
    #[must_use]
    pub(crate) fn standbys_max(&self, executors: usize) -> usize {
        self.standby_max.unwrap_or_else(|| default_standbys_max(executors))
    }

    /// Most retired instances that wait for the reaper. A lane retires what it takes, so this equals what it may have
    /// ready.
    pub(crate) fn retired_max(&self) -> usize {
        self.lanes * self.standbys_max(self.lanes)
    }

    /// Most instances that can exist at once, for the size of the engine's pool: for each executor an active one, its
    /// standbys and, while a generation is replaced or a lane stalls, the same again; and those that wait for the
    /// reaper.
    #[must_use]
    pub fn instances_max(&self, services: usize) -> u32 {
        let executors = self.lanes * services;
        // And a witness calculator for each lane, and two to check a new image and its calculators with.
        let instances =
            executors * 2 * (2 + self.standbys_max(executors)) + self.retired_max() + self.lanes + 2;
        u32::try_from(instances).unwrap_or(u32::MAX)
    }
}

/// Default for the standbys of one executor. Under `every-call` each call takes one, so there are as many as very short
/// calls use while the standby maker sleeps between two looks at its queue; fewer where many executors share the pool.
pub(super) fn default_standbys_max(executors: usize) -> usize {
    (STANDBYS_MAX / executors.max(1)).clamp(4, 64)
}
