//! The last hour of calls, in buckets of ten seconds.
//!
//! Lanes add to totals that only grow. A task reads the totals once a second, and what they grew by in ten seconds becomes
//! a bucket.
//!
//! Invariant: all that a lane does here is a few relaxed additions, and it never waits for a reader. At most [`BUCKETS`]
//! buckets are kept.

use crate::instance::Fault;
use serde::Serialize;
use snapback_abi::reply::Tag;
use snapback_snapshot::call::Reply;
use std::{
    array,
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Length of a bucket.
const BUCKET: Duration = Duration::from_secs(10);
/// Buckets of an hour, the one under way included.
const BUCKETS: usize = 360;
/// Steps of durations: four for each power of two of microseconds, up to ten hours.
const STEPS: usize = 36 * 4;

/// How a call ended, as the history tells calls apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// The guest answered, or the call was cancelled.
    Well,
    /// What was sent was refused, by the guest or on the way to it.
    Refused,
    /// The call ended in a fault.
    Failed,
}

impl Ended {
    fn of(result: &Result<Reply, Fault>) -> Self {
        match result {
            Ok(reply) if reply.tag == Tag::Ok => Self::Well,
            Err(Fault::Cancelled) => Self::Well,
            Ok(_) | Err(Fault::NoSuchMethod | Fault::Calculator(_)) => Self::Refused,
            Err(_) => Self::Failed,
        }
    }
}

/// Totals of what should not happen, for the alerts that depend on how much of it there was lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Troubles {
    /// Calls that ended without an outcome.
    pub(crate) lost: u64,
    /// Calls that found the queue full.
    pub(crate) rejected: u64,
    /// Calls that needed more than `memory.limit`, also in a fresh instance.
    pub(crate) growth_refused: u64,
    /// Swaps that were due and deferred.
    pub(crate) swaps_put_off: u64,
    /// Swaps deferred because of `swap.per_minute_max`.
    pub(crate) swaps_refused: u64,
    /// Standbys that could not be made.
    pub(crate) standby_failures: u64,
    /// Changes of circuits that failed.
    pub(crate) changes_failed: u64,
}

/// The history of one server.
#[derive(Default)]
pub struct History {
    counts: Counts,
    ring: Mutex<Ring>,
}

/// Totals that lanes add to.
struct Counts {
    refused: AtomicU64,
    failed: AtomicU64,
    swaps: AtomicU64,
    /// Calls by the step of their duration.
    steps: [AtomicU64; STEPS],
}

impl Default for Counts {
    fn default() -> Self {
        let zero = AtomicU64::default;
        Self { refused: zero(), failed: zero(), swaps: zero(), steps: array::from_fn(|_| zero()) }
    }
}

/// The totals at one time.
#[derive(Clone)]
struct Totals {
    refused: u64,
    failed: u64,
    swaps: u64,
    steps: [u64; STEPS],
    troubles: Troubles,
}

impl Default for Totals {
    fn default() -> Self {
        Self { refused: 0, failed: 0, swaps: 0, steps: [0; STEPS], troubles: Troubles::default() }
    }
}

#[derive(Default)]
struct Ring {
    /// When the bucket under way began; `None` before the first sample.
    opened: Option<Instant>,
    /// The totals at that time.
    before: Totals,
    /// The longest queue that was seen in the bucket under way.
    queue_max: usize,
    /// The buckets that are over, oldest first.
    closed: VecDeque<Bucket>,
}

/// What happened in ten seconds.
#[derive(Clone, Copy, Default)]
struct Bucket {
    calls: u64,
    refused: u64,
    failed: u64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    queue_max: usize,
    swaps: u64,
    troubles: Troubles,
}

/// The history as a table by columns, each with the oldest bucket first. The last bucket is the one under way.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
#[schema(as = History)]
pub(crate) struct HistoryView {
    /// Length of a bucket, in seconds.
    bucket_seconds: u64,
    /// How much of the last bucket has passed, in seconds.
    last_seconds: f64,
    /// Calls that ended.
    calls: Vec<u64>,
    /// Calls that the guest refused.
    refused: Vec<u64>,
    /// Calls that ended in a fault.
    failed: Vec<u64>,
    /// Half of the calls ran no longer on their lane, in milliseconds; `null` without calls.
    p50_ms: Vec<Option<f64>>,
    /// All but a hundredth of the calls ran no longer.
    p99_ms: Vec<Option<f64>>,
    /// The longest queue that a sample found; one is taken each second.
    queue_max: Vec<usize>,
    /// Instances that were replaced.
    swaps: Vec<u64>,
    lost: Vec<u64>,
    rejected: Vec<u64>,
    growth_refused: Vec<u64>,
    swaps_put_off: Vec<u64>,
    swaps_refused: Vec<u64>,
    standby_failures: Vec<u64>,
    changes_failed: Vec<u64>,
}

impl History {
    /// Counts a call that has ended.
    pub(crate) fn call_ended(&self, took: Duration, result: &Result<Reply, Fault>) {
        self.count(took, Ended::of(result));
    }

    fn count(&self, took: Duration, ended: Ended) {
        self.counts.steps[step(took)].fetch_add(1, Relaxed);
        match ended {
            Ended::Well => {}
            Ended::Refused => drop(self.counts.refused.fetch_add(1, Relaxed)),
            Ended::Failed => drop(self.counts.failed.fetch_add(1, Relaxed)),
        }
    }

    /// Counts an instance that was replaced.
    pub(crate) fn swapped(&self) {
        self.counts.swaps.fetch_add(1, Relaxed);
    }

    /// Notes the length of the queue, and closes the buckets that are over. Call it about once a second.
    pub(crate) fn sample(&self, now: Instant, queue_len: usize, troubles: Troubles) {
        let mut ring = self.ring();
        ring.queue_max = ring.queue_max.max(queue_len);
        let opened = *ring.opened.get_or_insert(now);
        let passed = now.saturating_duration_since(opened).as_secs() / BUCKET.as_secs();
        if passed == 0 {
            return;
        }
        let totals = self.totals(troubles);
        let bucket = ring.under_way(&totals);
        ring.push(bucket);
        // Where samples were late, nothing says when what they missed happened.
        (1..passed.min(BUCKETS as u64)).for_each(|_| ring.push(Bucket::default()));
        (ring.before, ring.queue_max) = (totals, 0);
        ring.opened = Some(opened + Duration::from_secs(passed * BUCKET.as_secs()));
    }

    /// Returns the last hour.
    pub(crate) fn view(&self, now: Instant, troubles: Troubles) -> HistoryView {
        let ring = self.ring();
        let last = ring.opened.map_or(Duration::ZERO, |opened| now.saturating_duration_since(opened));
        let under_way = ring.under_way(&self.totals(troubles));
        let mut view = HistoryView {
            bucket_seconds: BUCKET.as_secs(),
            last_seconds: last.as_secs_f64(),
            ..HistoryView::default()
        };
        ring.closed.iter().chain([&under_way]).for_each(|bucket| view.push(bucket));
        view
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn totals(&self, troubles: Troubles) -> Totals {
        let Counts { refused, failed, swaps, steps } = &self.counts;
        Totals {
            refused: refused.load(Relaxed),
            failed: failed.load(Relaxed),
            swaps: swaps.load(Relaxed),
            steps: array::from_fn(|step| steps[step].load(Relaxed)),
            troubles,
        }
    }
}

impl Ring {
    fn push(&mut self, bucket: Bucket) {
        if self.closed.len() == BUCKETS - 1 {
            self.closed.pop_front();
        }
        self.closed.push_back(bucket);
    }

    /// What happened since the bucket under way began.
    fn under_way(&self, totals: &Totals) -> Bucket {
        let before = &self.before;
        let steps: [u64; STEPS] =
            array::from_fn(|step| totals.steps[step].saturating_sub(before.steps[step]));
        let grown = |of: fn(&Troubles) -> u64| of(&totals.troubles).saturating_sub(of(&before.troubles));
        Bucket {
            calls: steps.iter().sum(),
            refused: totals.refused.saturating_sub(before.refused),
            failed: totals.failed.saturating_sub(before.failed),
            p50_ms: quantile_ms(&steps, 50),
            p99_ms: quantile_ms(&steps, 99),
            queue_max: self.queue_max,
            swaps: totals.swaps.saturating_sub(before.swaps),
            troubles: Troubles {
                lost: grown(|troubles| troubles.lost),
                rejected: grown(|troubles| troubles.rejected),
                growth_refused: grown(|troubles| troubles.growth_refused),
                swaps_put_off: grown(|troubles| troubles.swaps_put_off),
                swaps_refused: grown(|troubles| troubles.swaps_refused),
                standby_failures: grown(|troubles| troubles.standby_failures),
                changes_failed: grown(|troubles| troubles.changes_failed),
            },
        }
    }
}

impl HistoryView {
    fn push(&mut self, bucket: &Bucket) {
        self.calls.push(bucket.calls);
        self.refused.push(bucket.refused);
        self.failed.push(bucket.failed);
        self.p50_ms.push(bucket.p50_ms);
        self.p99_ms.push(bucket.p99_ms);
        self.queue_max.push(bucket.queue_max);
        self.swaps.push(bucket.swaps);
        self.lost.push(bucket.troubles.lost);
        self.rejected.push(bucket.troubles.rejected);
        self.growth_refused.push(bucket.troubles.growth_refused);
        self.swaps_put_off.push(bucket.troubles.swaps_put_off);
        self.swaps_refused.push(bucket.troubles.swaps_refused);
        self.standby_failures.push(bucket.troubles.standby_failures);
        self.changes_failed.push(bucket.troubles.changes_failed);
    }
}

/// The step of a duration: its power of two in microseconds, and the two bits after the first one.
fn step(took: Duration) -> usize {
    let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).clamp(1, (1 << 36) - 1);
    let octave = us.ilog2();
    (octave as usize) * 4 + ((us << 2 >> octave) & 3) as usize
}

/// The middle of a step, in milliseconds: at most an eighth from any duration that belongs to it.
fn middle_ms(step: usize) -> f64 {
    (4.5 + (step % 4) as f64) / 4.0 * ((1u64 << (step / 4)) as f64) / 1e3
}

fn quantile_ms(steps: &[u64; STEPS], percent: u64) -> Option<f64> {
    let calls: u64 = steps.iter().sum();
    let rank = (calls * percent).div_ceil(100).max(1);
    let reached = steps.iter().scan(0, |sum, calls| {
        *sum += calls;
        Some(*sum)
    });
    reached.enumerate().find(|(_, sum)| calls > 0 && *sum >= rank).map(|(step, _)| middle_ms(step))
}

#[cfg(test)]
mod tests;
