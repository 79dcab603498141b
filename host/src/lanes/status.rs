//! What an executor reports about itself to operators.
//!
//! Invariant: a lane writes its status under a lock that is held for a copy, so that a reader never delays a call.

use crate::{ids::LaneId, policy::Pressure};
use serde::Serialize;
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Memory samples that are kept for each executor.
const SAMPLES_MAX: usize = 100;

/// Status of the active instance and the standbys of one lane and service.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ExecutorStatus {
    /// The lane.
    #[schema(value_type = usize)]
    pub lane: LaneId,
    /// Calls that the active instance has served; `None` while there is no active instance.
    pub calls: Option<u64>,
    /// Seconds since the active instance became active, when its lane last reported.
    pub age_seconds: Option<f64>,
    /// Memory in use by the active instance, in bytes.
    pub used_bytes: Option<u64>,
    /// How full its memory is.
    pub pressure: Pressure,
    /// Whether a standby is ready.
    pub standby: StandbyStatus,
    /// Standbys that are ready.
    pub standbys_ready: usize,
    /// Standbys that are ordered and not ready yet.
    pub standbys_ordered: usize,
    /// The latest memory samples, oldest first.
    pub samples: Vec<MemorySample>,
}

/// Whether a standby is ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StandbyStatus {
    /// None is ready, and none is being made.
    #[default]
    None,
    /// One is being made.
    Preparing,
    /// One is ready.
    Ready,
}

/// One sample of the memory of an active instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct MemorySample {
    /// When it was taken, in milliseconds since 1970.
    pub at_ms: u64,
    /// Memory in use, in bytes.
    pub used_bytes: u64,
}

/// What a lane reports.
pub(super) struct Report {
    pub(super) active: Option<ActiveReport>,
    pub(super) pressure: Pressure,
    pub(super) standbys_ready: usize,
    pub(super) standbys_ordered: usize,
}

/// What a lane reports about its active instance.
pub(super) struct ActiveReport {
    pub(super) calls: u64,
    pub(super) age: Duration,
    pub(super) used_bytes: u64,
}

/// Holds the latest report of one executor and its memory samples.
#[derive(Default)]
pub(super) struct StatusCell(Mutex<State>);

#[derive(Default)]
struct State {
    last: Option<Report>,
    samples: VecDeque<MemorySample>,
}

impl StatusCell {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a report; takes its memory as a sample.
    pub(super) fn set(&self, report: Report) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let mut state = self.lock();
        if let Some(ActiveReport { used_bytes, .. }) = report.active {
            if state.samples.len() == SAMPLES_MAX {
                state.samples.pop_front();
            }
            state.samples.push_back(MemorySample { at_ms, used_bytes });
        }
        state.last = Some(report);
    }

    /// The status of the executor, on this lane.
    pub(super) fn get(&self, lane: LaneId) -> ExecutorStatus {
        let state = self.lock();
        let samples = state.samples.iter().copied().collect();
        let active = state.last.as_ref().and_then(|report| report.active.as_ref());
        let (ready, ordered) =
            state.last.as_ref().map_or((0, 0), |report| (report.standbys_ready, report.standbys_ordered));
        ExecutorStatus {
            lane,
            calls: active.map(|active| active.calls),
            age_seconds: active.map(|active| active.age.as_secs_f64()),
            used_bytes: active.map(|active| active.used_bytes),
            pressure: state.last.as_ref().map_or(Pressure::Calm, |report| report.pressure),
            standby: match (ready, ordered) {
                (0, 0) => StandbyStatus::None,
                (0, _) => StandbyStatus::Preparing,
                _ => StandbyStatus::Ready,
            },
            standbys_ready: ready,
            standbys_ordered: ordered,
            samples,
        }
    }
}
