//! What the server counts, in Prometheus' conventions: base units, HELP on every family, bounded labels.
//!
//! Invariant: label values are names of this program or of its images, never a client's text.

use crate::instance::Fault;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use snapback_snapshot::{Miss, Origin, call::Reply};
use std::time::Duration;

/// Every family of the server.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: Histogram,
    rejected: IntCounterVec,
    calls: IntCounterVec,
    call_seconds: HistogramVec,
    abandoned: IntCounter,
    retried: IntCounter,
    connections: IntGauge,
    buffered_bytes: IntGauge,
    queue_length: IntGauge,
    queue_wait_seconds: Histogram,
    swaps: IntCounterVec,
    swap_pause_seconds: Histogram,
    standby_seconds: Histogram,
    standby_failures: IntCounter,
    standby_missing: IntCounter,
    drop_seconds: Histogram,
    reaper_full: IntCounter,
    memory_peak_bytes: Histogram,
    growth_refused: IntCounter,
    native_code: IntCounterVec,
    image_info: IntGaugeVec,
}

/// Why a lane replaced its instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwapReason {
    /// The policy is a fresh instance for every call.
    EveryCall,
    /// The call ended in a fault.
    Fault,
    /// A new generation was published.
    Generation,
}

impl SwapReason {
    fn label(self) -> &'static str {
        match self {
            Self::EveryCall => "every-call",
            Self::Fault => "fault",
            Self::Generation => "generation",
        }
    }
}

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
}

impl Limit {
    fn label(self) -> &'static str {
        match self {
            Self::BodyBytes => "http.body_bytes_max",
            Self::BufferedBytes => "http.buffered_bytes_max",
            Self::BodyTimeout => "http.body_timeout",
            Self::QueueDepth => "queue.depth",
        }
    }
}

const MICROSECONDS: &[f64] = &[1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 1e-3, 1e-2, 1e-1];
const CALLS: &[f64] = &[1e-4, 1e-3, 1e-2, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];
const MEMORY: &[f64] = &[1e6, 1e7, 5e7, 1e8, 2.5e8, 5e8, 1e9, 2e9, 4.3e9];

impl Metrics {
    /// A registry of its own for each server.
    ///
    /// # Panics
    /// Never: the names below are valid and distinct, which every start of the server exercises.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let family = Family(&registry);
        Self {
            requests: family.counters(
                "snapback_http_requests_total",
                "HTTP requests answered.",
                &["route", "status"],
            ),
            request_seconds: family.histogram(
                "snapback_http_request_seconds",
                "Time from a request's head to its reply.",
                CALLS,
            ),
            rejected: family.counters(
                "snapback_rejected_total",
                "Requests turned away at a limit, by setting.",
                &["limit"],
            ),
            calls: family.counters(
                "snapback_calls_total",
                "Calls that ran on a lane, by outcome.",
                &["image", "outcome"],
            ),
            call_seconds: family.histograms(
                "snapback_call_seconds",
                "Time that a call ran.",
                CALLS,
                &["image"],
            ),
            abandoned: family.counter(
                "snapback_calls_abandoned_total",
                "Queued calls whose client left before their turn.",
            ),
            retried: family.counter(
                "snapback_calls_retried_total",
                "Calls run again in a fresh instance, a used one having had too little memory left.",
            ),
            connections: family.gauge("snapback_http_connections", "Connections open."),
            buffered_bytes: family
                .gauge("snapback_http_buffered_bytes", "Bytes of request bodies in memory."),
            queue_length: family.gauge("snapback_queue_length", "Calls that wait for a lane."),
            queue_wait_seconds: family.histogram(
                "snapback_queue_wait_seconds",
                "Time that a call waited for a lane.",
                CALLS,
            ),
            swaps: family.counters(
                "snapback_swaps_total",
                "Instances that a lane replaced, by reason.",
                &["image", "reason"],
            ),
            swap_pause_seconds: family.histogram(
                "snapback_swap_pause_seconds",
                "Time that a lane spent on a swap.",
                MICROSECONDS,
            ),
            standby_seconds: family.histogram(
                "snapback_standby_preparation_seconds",
                "Time to make a standby.",
                MICROSECONDS,
            ),
            standby_failures: family
                .counter("snapback_standby_failures_total", "Standbys that could not be made."),
            standby_missing: family
                .counter("snapback_standby_missing_total", "Calls that had to wait for an instance."),
            drop_seconds: family.histogram(
                "snapback_instance_drop_seconds",
                "Time to drop a retired instance.",
                MICROSECONDS,
            ),
            reaper_full: family.counter(
                "snapback_reaper_full_total",
                "Instances dropped on a lane, the reaper's queue being full.",
            ),
            memory_peak_bytes: family.histogram(
                "snapback_instance_memory_peak_bytes",
                "Linear memory of instances when they were retired.",
                MEMORY,
            ),
            growth_refused: family.counter(
                "snapback_memory_growth_refused_total",
                "Calls stopped because they needed more than memory.limit.",
            ),
            native_code: family.counters(
                "snapback_native_code_total",
                "Images loaded, by where their native code came from.",
                &["origin"],
            ),
            image_info: family.gauges(
                "snapback_image_info",
                "1 for each image being served.",
                &["image", "digest"],
            ),
            registry,
        }
        .with_build_info()
    }

    fn with_build_info(self) -> Self {
        let info = Family(&self.registry).gauges("snapback_build_info", "1, with the version.", &["version"]);
        info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        self
    }

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

    pub(crate) fn dequeued(&self, waited: Duration) {
        self.queue_wait_seconds.observe(waited.as_secs_f64());
    }

    pub(crate) fn queue_is(&self, length: usize) {
        self.queue_length.set(i64::try_from(length).unwrap_or(i64::MAX));
    }

    pub(crate) fn connections_are(&self, open: usize) {
        self.connections.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    pub(crate) fn retried(&self) {
        self.retried.inc();
    }

    pub(crate) fn abandoned(&self) {
        self.abandoned.inc();
    }

    pub(crate) fn called(&self, image: &str, took: Duration, outcome: &Result<Reply, Fault>) {
        let outcome = match outcome {
            Ok(reply) if reply.tag == snapback_abi::reply::Tag::Ok => "ok",
            Ok(_) => "refused",
            Err(Fault::OutOfMemory(_)) => {
                self.growth_refused.inc();
                "out_of_memory"
            }
            Err(Fault::Deadline(_)) => "deadline",
            Err(Fault::Trap(_)) => "trap",
            Err(Fault::ReplyTooLarge { .. }) => "reply_too_large",
            Err(Fault::Contract(_)) => "broke_contract",
            Err(Fault::NoSuchMethod) => "no_such_method",
            Err(Fault::Engine(_)) => "engine",
        };
        self.calls.with_label_values(&[image, outcome]).inc();
        self.call_seconds.with_label_values(&[image]).observe(took.as_secs_f64());
    }

    pub(crate) fn swapped(&self, image: &str, reason: SwapReason) {
        self.swaps.with_label_values(&[image, reason.label()]).inc();
    }

    pub(crate) fn swap_paused(&self, pause: Duration) {
        self.swap_pause_seconds.observe(pause.as_secs_f64());
    }

    pub(crate) fn standby_made(&self, took: Duration, made: bool) {
        if made {
            self.standby_seconds.observe(took.as_secs_f64());
        } else {
            self.standby_failures.inc();
        }
    }

    pub(crate) fn standby_missing(&self) {
        self.standby_missing.inc();
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

    /// An image was loaded and will be served.
    pub fn image_loaded(&self, name: &str, digest: &str, origin: &Origin) {
        let origin = match origin {
            Origin::Cached => "cached",
            Origin::Compiled(Miss::Absent) => "compiled",
            Origin::Compiled(Miss::Unfit(_)) => "rebuilt",
            Origin::Memory(_) => "memory",
        };
        self.native_code.with_label_values(&[origin]).inc();
        self.image_info.with_label_values(&[name, digest]).set(1);
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

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

struct Family<'a>(&'a Registry);

impl Family<'_> {
    fn register<C: prometheus::core::Collector + Clone + 'static>(&self, metric: prometheus::Result<C>) -> C {
        let metric = metric.expect("a valid name");
        self.0.register(Box::new(metric.clone())).expect("a distinct name");
        metric
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
    }

    fn histograms(&self, name: &str, help: &str, buckets: &[f64], labels: &[&str]) -> HistogramVec {
        self.register(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
    }
}
