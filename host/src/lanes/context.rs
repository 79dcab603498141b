//! What all lanes of a server share.

use super::{reaper::Reaper, standby_maker::StandbyMaker};
use crate::{
    instance::Instance, memory::process::ProcessMemory, policy::Pressure, seams::Seams, service::Service,
    telemetry::Telemetry,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// What all lanes of a server share.
pub(super) struct LaneContext {
    pub(super) services: Vec<Arc<Service>>,
    pub(super) telemetry: Telemetry,
    pub(super) seams: Seams,
    pub(super) reaper: Reaper,
    pub(super) standby_maker: StandbyMaker,
    pub(super) process: Arc<ProcessMemory>,
    pub(super) reply_bytes_max: u64,
    pub(super) sample_interval: Duration,
}

impl LaneContext {
    /// Hands an instance that will not be called again to the reaper.
    pub(super) fn retire(&self, instance: Instance) {
        self.reaper.retire(instance);
    }

    /// Pressure on the memory of the process at the last sample, as far as swaps can relieve it.
    pub(super) fn process_pressure(&self) -> Pressure {
        self.process.relievable_pressure()
    }

    /// The time by which instances age.
    pub(super) fn now(&self) -> Instant {
        self.seams.clock.now()
    }
}
