//! Metrics in Prometheus' conventions: base units, a help text for every family, bounded labels.
//!
//! `families` declares the metric families; this file, `calls` and `spans` record into them, and `totals` reads back.
//!
//! Invariant: label values are names of this program or of its images, never a client's text.

mod calls;
mod families;
mod limit;
mod spans;
mod totals;

pub use limit::Limit;

pub(crate) use calls::{RefusedGrowth, outcome};
pub use families::Metrics;
pub(crate) use spans::SpanOutcome;
pub(crate) use totals::Start;

use crate::{
    ids::LaneId,
    instance::Fault,
    memory::process::Rollup,
    policy::{BreakerState, Reason},
};
use prometheus::{Encoder, IntGauge, TextEncoder};
use snapback_snapshot::{LoadedImage, Miss, Origin, WhyFull};
use std::time::Duration;

/// Memory gauges of the active instance of one lane and image.
#[derive(Clone)]
pub(crate) struct LaneGauges {
    linear: IntGauge,
    linear_peak: IntGauge,
    used: IntGauge,
}

impl LaneGauges {
    /// Sets the size of the linear memory.
    pub(crate) fn set_linear_bytes(&self, bytes: u64) {
        let bytes = gauge(bytes);
        self.linear.set(bytes);
        if bytes > self.linear_peak.get() {
            self.linear_peak.set(bytes);
        }
    }

    /// Sets the memory in use.
    pub(crate) fn set_used_bytes(&self, bytes: u64) {
        self.used.set(gauge(bytes));
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Metrics {
    pub(crate) fn set_buffered_bytes(&self, bytes: usize) {
        self.buffered_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Renders all families in the text format that Prometheus scrapes.
    #[must_use]
    pub(crate) fn render(&self) -> Vec<u8> {
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("writing to a vector does not fail");
        text
    }

    pub(crate) fn request_ended(&self, route: &str, status: u16, took: Duration) {
        self.requests.with_label_values(&[route, &status.to_string()]).inc();
        self.request_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn request_rejected(&self, limit: Limit) {
        self.rejected.with_label_values(&[limit.label()]).inc();
    }

    pub(crate) fn set_queue_len(&self, length: usize) {
        self.queue_length.set(i64::try_from(length).unwrap_or(i64::MAX));
    }

    pub(crate) fn set_process_limit(&self, bytes: Option<u64>) {
        self.process_limit.set(gauge(bytes.unwrap_or(0)));
    }

    pub(crate) fn set_lanes(&self, at_work: usize, configured: usize) {
        self.lanes.set(i64::try_from(configured).unwrap_or(i64::MAX));
        self.lanes_at_work.set(i64::try_from(at_work).unwrap_or(i64::MAX));
    }

    pub(crate) fn set_connections(&self, open: usize) {
        self.connections.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    pub(crate) fn lane_gauges(&self, image: &str, lane: LaneId) -> LaneGauges {
        let labels = [image, &lane.to_string()];
        LaneGauges {
            linear: self.memory_linear.with_label_values(&labels),
            linear_peak: self.memory_linear_peak.with_label_values(&labels),
            used: self.memory_used.with_label_values(&labels),
        }
    }

    pub(crate) fn set_memory_limit(&self, image: &str, bytes: u64) {
        self.memory_limit.with_label_values(&[image]).set(gauge(bytes));
    }

    pub(crate) fn set_breaker(&self, image: &str, state: BreakerState) {
        self.breaker.with_label_values(&[image]).set(match state {
            BreakerState::Closed => 0,
            BreakerState::HalfOpen => 1,
            BreakerState::Open => 2,
        });
    }

    pub(crate) fn drain_ended(&self, took: Duration) {
        self.drain_seconds.observe(took.as_secs_f64());
    }

    /// Records bytes that were read and dropped after an early answer.
    pub(crate) fn unread_discarded(&self, bytes: u64) {
        self.unread_discarded.inc_by(bytes);
    }

    pub(crate) fn handshake_failed(&self) {
        self.handshakes_failed.inc();
    }

    /// Records when the certificate of the public listener expires, since 1970.
    pub(crate) fn set_certificate_not_after(&self, not_after: Duration) {
        self.certificate_not_after.set(not_after.as_secs_f64());
    }

    pub(crate) fn events_missed(&self, missed: u64) {
        self.events_missed.inc_by(missed);
    }

    /// Records how long the server took from its start to its readiness, and how long it should have taken.
    pub fn server_ready(&self, took: Duration, target: Duration) {
        self.cold_start_seconds.observe(took.as_secs_f64());
        self.cold_start_target_seconds.set(target.as_secs_f64());
    }

    /// Sets the kernel's account of the process's memory.
    pub(crate) fn set_process_memory(&self, memory: &Rollup) {
        self.process_private_dirty.set(gauge(memory.private_dirty_bytes));
        self.process_shared.set(gauge(memory.shared_bytes));
        self.process_resident.set(gauge(memory.resident_bytes));
    }

    /// Records that a swap was due and deferred.
    pub(crate) fn swap_put_off(&self, image: &str, reason: &str) {
        self.swaps_put_off.with_label_values(&[image, reason]).inc();
    }

    pub(crate) fn swap_ended(&self, image: &str, reason: Reason) {
        self.swaps.with_label_values(&[image, reason.label()]).inc();
    }

    pub(crate) fn swap_limited(&self, image: &str) {
        self.swaps_refused.with_label_values(&[image]).inc();
    }

    pub(crate) fn swap_lasted(&self, image: &str, took: Duration) {
        self.swap_seconds.with_label_values(&[image]).observe(took.as_secs_f64());
    }

    pub(crate) fn swap_delayed_call(&self, image: &str, pause: Duration) {
        self.swap_pause_seconds.with_label_values(&[image]).observe(pause.as_secs_f64());
    }

    pub(crate) fn standby_made(&self, image: &str, took: Duration, fault: Option<&Fault>) {
        if fault.is_none() {
            self.standby_seconds.with_label_values(&[image]).observe(took.as_secs_f64());
        } else {
            self.standby_failures.with_label_values(&[image]).inc();
        }
    }

    pub(crate) fn standby_missing(&self, image: &str) {
        self.standby_missing.with_label_values(&[image]).inc();
    }

    pub(crate) fn instance_dropped(&self, took: Duration) {
        self.drop_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn reaper_full(&self) {
        self.reaper_full.inc();
    }

    pub(crate) fn instance_retired(&self, bytes: u64) {
        self.memory_peak_bytes.observe(bytes as f64);
    }

    /// Records where the native code of an image was loaded from, and how it was checked.
    pub fn native_code_loaded(&self, image: &LoadedImage) {
        let origin = match image.origin {
            Origin::Cached => "cached",
            Origin::Compiled(Miss::Absent) => "compiled",
            Origin::Compiled(Miss::Unfit(_)) => "rebuilt",
            Origin::Memory(_) => "memory",
        };
        self.native_code.with_label_values(&[origin]).inc();
        let reason = image.check.why_full().map_or("", WhyFull::name);
        self.native_checks.with_label_values(&[image.check.name(), reason]).inc();
    }

    /// Records that an image is served under this name.
    pub fn image_served(&self, name: &str, image: &LoadedImage) {
        let digest = image.digest.to_string();
        self.image_info.with_label_values(&[name, &digest, image.manifest.simd().as_str()]).set(1);
    }

    /// Records that an image is no longer served under this name.
    pub(crate) fn image_replaced(&self, name: &str, image: &LoadedImage) {
        // Fails if the same image was published again, and is harmless then.
        let digest = image.digest.to_string();
        let _ = self.image_info.remove_label_values(&[name, &digest, image.manifest.simd().as_str()]);
    }

    /// Records how long a witness calculator ran.
    pub(crate) fn witness_calculated(&self, image: &str, took: Duration) {
        self.witness_seconds.with_label_values(&[image]).observe(took.as_secs_f64());
    }

    /// Creates the counters of an image that takes changes of circuits, so that rates are known from the start.
    pub(crate) fn register_changes(&self, image: &str) {
        for outcome in ["done", "failed", "cancelled"] {
            self.circuit_changes.with_label_values(&[image, outcome]).inc_by(0);
        }
    }

    /// Records how a change of circuits ended.
    pub(crate) fn change_ended(&self, image: &str, outcome: &str) {
        self.circuit_changes.with_label_values(&[image, outcome]).inc();
    }

    /// Sets the number of jobs in each state, the length of the bodies of those that wait, and how long the oldest of
    /// them has waited.
    pub(crate) fn set_jobs(
        &self,
        states: impl IntoIterator<Item = (&'static str, u64)>,
        waiting_bytes: u64,
        oldest_waiting: Duration,
    ) {
        for (state, jobs) in states {
            self.jobs.with_label_values(&[state]).set(gauge(jobs));
        }
        self.jobs_waiting_bytes.set(gauge(waiting_bytes));
        self.jobs_oldest_waiting_seconds.set(oldest_waiting.as_secs_f64());
    }

    /// Records that a job got the result of identical work.
    pub(crate) fn job_shared(&self, image: &str) {
        self.jobs_shared.with_label_values(&[image]).inc();
    }

    /// Sets the number of webhooks in each state.
    pub(crate) fn set_webhooks(&self, states: impl IntoIterator<Item = (&'static str, u64)>) {
        for (state, webhooks) in states {
            self.webhooks.with_label_values(&[state]).set(gauge(webhooks));
        }
    }

    /// Records what followed from an attempt to deliver a webhook.
    pub(crate) fn webhook_tried(&self, outcome: &str) {
        self.webhook_attempts.with_label_values(&[outcome]).inc();
    }

    /// Number of swaps so far, over all reasons and images.
    #[must_use]
    pub fn swaps_total(&self) -> u64 {
        use prometheus::core::Collector;
        self.swaps
            .collect()
            .iter()
            .flat_map(prometheus::proto::MetricFamily::get_metric)
            .map(|metric| metric.get_counter().get_value() as u64)
            .sum()
    }
}
