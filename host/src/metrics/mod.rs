//! What the server counts, in Prometheus' conventions: base units, HELP on every family, bounded labels.
//!
//! Invariant: label values are names of this program or of its images, never a client's text.

mod families;

pub use families::Metrics;

use crate::{breaker::BreakerState, instance::Fault, pressure::Reason, process::Rollup};
use prometheus::{Encoder, IntGauge, TextEncoder};
use snapback_snapshot::{Miss, Origin, call::Reply};
use std::time::Duration;

/// Limits at which a request is turned away before it is a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `http.body_bytes_max`.
    BodyBytes,
    /// `http.buffered_bytes_max`.
    BufferedBytes,
    /// `http.body_timeout`.
    BodyTimeout,
    /// `queue.depth`.
    QueueDepth,
    /// `breaker.failures`.
    Breaker,
}

impl Limit {
    fn label(self) -> &'static str {
        match self {
            Self::BodyBytes => "http.body_bytes_max",
            Self::BufferedBytes => "http.buffered_bytes_max",
            Self::BodyTimeout => "http.body_timeout",
            Self::QueueDepth => "queue.depth",
            Self::Breaker => "breaker.failures",
        }
    }
}

/// The gauges of one lane's instances of one image.
#[derive(Clone)]
pub(crate) struct LaneGauges {
    linear: IntGauge,
    linear_peak: IntGauge,
    used: IntGauge,
}

impl LaneGauges {
    /// Linear memory has this size now.
    pub(crate) fn memory(&self, bytes: u64) {
        let bytes = gauge(bytes);
        self.linear.set(bytes);
        if bytes > self.linear_peak.get() {
            self.linear_peak.set(bytes);
        }
    }

    /// That much is in use.
    pub(crate) fn used(&self, bytes: u64) {
        self.used.set(gauge(bytes));
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Metrics {
    pub(crate) fn buffered(&self, bytes: usize) {
        self.buffered_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// The text format that Prometheus scrapes.
    #[must_use]
    pub(crate) fn render(&self) -> Vec<u8> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).expect("a vector takes any text");
        text
    }

    pub(crate) fn requested(&self, route: &str, status: u16, took: Duration) {
        self.requests.with_label_values(&[route, &status.to_string()]).inc();
        self.request_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn rejected(&self, limit: Limit) {
        self.rejected.with_label_values(&[limit.label()]).inc();
    }

    pub(crate) fn dequeued(&self, image: &str, waited: Duration) {
        self.queue_wait_seconds.with_label_values(&[image]).observe(waited.as_secs_f64());
    }

    pub(crate) fn queue_is(&self, length: usize) {
        self.queue_length.set(i64::try_from(length).unwrap_or(i64::MAX));
    }

    pub(crate) fn process_limit_is(&self, bytes: Option<u64>) {
        self.process_limit.set(gauge(bytes.unwrap_or(0)));
    }

    pub(crate) fn lanes_are(&self, at_work: usize, of: usize) {
        self.lanes.set(i64::try_from(of).unwrap_or(i64::MAX));
        self.lanes_at_work.set(i64::try_from(at_work).unwrap_or(i64::MAX));
    }

    pub(crate) fn connections_are(&self, open: usize) {
        self.connections.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    pub(crate) fn lane_gauges(&self, image: &str, lane: usize) -> LaneGauges {
        let labels = [image, &lane.to_string()];
        LaneGauges {
            linear: self.memory_linear.with_label_values(&labels),
            linear_peak: self.memory_linear_peak.with_label_values(&labels),
            used: self.memory_used.with_label_values(&labels),
        }
    }

    pub(crate) fn limit_is(&self, image: &str, bytes: u64) {
        self.memory_limit.with_label_values(&[image]).set(gauge(bytes));
    }

    pub(crate) fn breaker_is(&self, image: &str, state: BreakerState) {
        self.breaker.with_label_values(&[image]).set(match state {
            BreakerState::Closed => 0,
            BreakerState::HalfOpen => 1,
            BreakerState::Open => 2,
        });
    }

    pub(crate) fn call_begins(&self) {
        self.in_flight.inc();
    }

    pub(crate) fn retained(&self, image: &str, method: &str, bytes: u64) {
        self.retained_bytes.with_label_values(&[image, method]).observe(bytes as f64);
    }

    pub(crate) fn retried(&self, image: &str) {
        self.retried.with_label_values(&[image]).inc();
    }

    pub(crate) fn lost(&self) {
        self.lost.inc();
    }

    pub(crate) fn stalled(&self, image: &str) {
        self.stalled.with_label_values(&[image]).inc();
    }

    pub(crate) fn drained(&self, took: Duration) {
        self.drain_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn events_missed(&self, missed: u64) {
        self.events_missed.inc_by(missed);
    }

    /// From the start of the process to its readiness, and from there the clock of its uptime.
    pub fn ready(&self, took: Duration) {
        self.cold_start_seconds.observe(took.as_secs_f64());
    }

    /// What the kernel says of the process's memory: proc(5), `smaps_rollup`.
    pub(crate) fn process_is(&self, memory: &Rollup) {
        self.process_private_dirty.set(gauge(memory.private_dirty_bytes));
        self.process_shared.set(gauge(memory.shared_bytes));
        self.process_resident.set(gauge(memory.resident_bytes));
    }

    pub(crate) fn abandoned(&self) {
        self.abandoned.inc();
    }

    pub(crate) fn called(&self, image: &str, took: Duration, outcome: &Result<Reply, Fault>) {
        self.in_flight.dec();
        let outcome = match outcome {
            Ok(reply) if reply.tag == snapback_abi::reply::Tag::Ok => "ok",
            Ok(_) => "refused",
            Err(Fault::OutOfMemory(_)) => {
                self.growth_refused.with_label_values(&[image]).inc();
                "out_of_memory"
            }
            Err(Fault::Deadline(_)) => "deadline",
            Err(Fault::Trap(_)) => "trap",
            Err(Fault::Stalled(_)) => "stall",
            Err(Fault::ReplyTooLarge { .. }) => "reply_too_large",
            Err(Fault::Contract(_)) => "broke_contract",
            Err(Fault::NoSuchMethod) => "no_such_method",
            Err(Fault::Calculator(_)) => "no_witness",
            Err(Fault::Engine(_)) => "engine",
        };
        self.calls.with_label_values(&[image, outcome]).inc();
        self.call_seconds.with_label_values(&[image]).observe(took.as_secs_f64());
    }

    pub(crate) fn swapped(&self, image: &str, reason: Reason) {
        self.swaps.with_label_values(&[image, reason.label()]).inc();
    }

    pub(crate) fn swap_refused(&self, image: &str) {
        self.swaps_refused.with_label_values(&[image]).inc();
    }

    pub(crate) fn swap_took(&self, image: &str, took: Duration) {
        self.swap_seconds.with_label_values(&[image]).observe(took.as_secs_f64());
    }

    pub(crate) fn swap_paused(&self, image: &str, pause: Duration) {
        self.swap_pause_seconds.with_label_values(&[image]).observe(pause.as_secs_f64());
    }

    pub(crate) fn standby_made(&self, image: &str, took: Duration, made: bool) {
        if made {
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

    pub(crate) fn memory_peak(&self, bytes: u64) {
        self.memory_peak_bytes.observe(bytes as f64);
    }

    /// Native code was loaded.
    pub fn native_code_loaded(&self, origin: &Origin) {
        let origin = match origin {
            Origin::Cached => "cached",
            Origin::Compiled(Miss::Absent) => "compiled",
            Origin::Compiled(Miss::Unfit(_)) => "rebuilt",
            Origin::Memory(_) => "memory",
        };
        self.native_code.with_label_values(&[origin]).inc();
    }

    /// An image is served under that name.
    pub fn image_served(&self, name: &str, digest: &str) {
        self.image_info.with_label_values(&[name, digest]).set(1);
    }

    /// Another image is served under that name from now on.
    pub(crate) fn image_left(&self, name: &str, digest: &str) {
        // There, unless the same image was published again.
        let _ = self.image_info.remove_label_values(&[name, digest]);
    }

    /// A witness was calculated.
    pub(crate) fn witness_took(&self, image: &str, took: Duration) {
        self.witness_seconds.with_label_values(&[image]).observe(took.as_secs_f64());
    }

    /// An image takes circuits: both outcomes are there to be compared with from now on.
    pub(crate) fn circuits_change(&self, image: &str) {
        for outcome in ["done", "failed"] {
            self.circuit_changes.with_label_values(&[image, outcome]).inc_by(0);
        }
    }

    /// A bake of changed circuits ended.
    pub(crate) fn circuits_changed(&self, image: &str, outcome: &str) {
        self.circuit_changes.with_label_values(&[image, outcome]).inc();
    }

    /// Swaps so far, for every reason and image.
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

    /// Mean duration of the calls so far, in seconds; zero before the first.
    #[must_use]
    pub fn call_seconds_mean(&self) -> f64 {
        use prometheus::core::Collector;
        let (sum, count) = self
            .call_seconds
            .collect()
            .iter()
            .flat_map(prometheus::proto::MetricFamily::get_metric)
            .map(|metric| {
                (metric.get_histogram().get_sample_sum(), metric.get_histogram().get_sample_count())
            })
            .fold((0.0, 0), |(sum, count), (s, c)| (sum + s, count + c));
        if count == 0 { 0.0 } else { sum / count as f64 }
    }
}
