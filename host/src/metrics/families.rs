//! The families of metrics: names, meanings, labels.
//!
//! Invariant: each is registered once, in the registry of its server, and has its HELP.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

const MICROSECONDS: &[f64] = &[1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 1e-3, 1e-2, 1e-1];
const CALLS: &[f64] = &[1e-4, 1e-3, 1e-2, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];
const MEMORY: &[f64] = &[1e6, 1e7, 5e7, 1e8, 2.5e8, 5e8, 1e9, 2e9, 4.3e9];

/// Every family of the server.
pub struct Metrics {
    pub(super) registry: Registry,
    pub(super) requests: IntCounterVec,
    pub(super) request_seconds: Histogram,
    pub(super) rejected: IntCounterVec,
    pub(super) connections: IntGauge,
    pub(super) buffered_bytes: IntGauge,
    pub(super) calls: IntCounterVec,
    pub(super) call_seconds: HistogramVec,
    pub(super) in_flight: IntGauge,
    pub(super) abandoned: IntCounter,
    pub(super) retried: IntCounterVec,
    pub(super) lost: IntCounter,
    pub(super) stalled: IntCounterVec,
    pub(super) retained_bytes: HistogramVec,
    pub(super) queue_length: IntGauge,
    pub(super) queue_wait_seconds: HistogramVec,
    pub(super) lanes: IntGauge,
    pub(super) lanes_at_work: IntGauge,
    pub(super) swaps: IntCounterVec,
    pub(super) swaps_refused: IntCounterVec,
    pub(super) swap_seconds: HistogramVec,
    pub(super) swap_pause_seconds: HistogramVec,
    pub(super) standby_seconds: HistogramVec,
    pub(super) standby_failures: IntCounterVec,
    pub(super) standby_missing: IntCounterVec,
    pub(super) drop_seconds: Histogram,
    pub(super) reaper_full: IntCounter,
    pub(super) memory_linear: IntGaugeVec,
    pub(super) memory_linear_peak: IntGaugeVec,
    pub(super) memory_used: IntGaugeVec,
    pub(super) memory_limit: IntGaugeVec,
    pub(super) memory_peak_bytes: Histogram,
    pub(super) growth_refused: IntCounterVec,
    pub(super) process_private_dirty: IntGauge,
    pub(super) process_shared: IntGauge,
    pub(super) process_resident: IntGauge,
    pub(super) process_limit: IntGauge,
    pub(super) breaker: IntGaugeVec,
    pub(super) native_code: IntCounterVec,
    pub(super) cold_start_seconds: Histogram,
    pub(super) drain_seconds: Histogram,
    pub(super) events_missed: IntCounter,
    pub(super) image_info: IntGaugeVec,
    pub(super) circuit_changes: IntCounterVec,
    pub(super) witness_seconds: HistogramVec,
}

impl Metrics {
    /// A registry of its own for each server.
    ///
    /// # Panics
    /// Never: the names below are valid and distinct, which every start of the server exercises.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let family = Family(&registry);
        family
            .gauges("snapback_build_info", "1, with the version.", &["version"])
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        Self {
            requests: family.counters("snapback_http_requests_total", "HTTP requests answered.", &["route", "status"]),
            request_seconds: family.histogram("snapback_http_request_seconds", "Time from a request's head to its reply.", CALLS),
            rejected: family.counters("snapback_rejected_total", "Requests turned away at a limit, by setting.", &["limit"]),
            connections: family.gauge("snapback_http_connections", "Connections open."),
            buffered_bytes: family.gauge("snapback_http_buffered_bytes", "Bytes of request bodies in memory."),
            calls: family.counters("snapback_calls_total", "Calls that ran on a lane, by outcome.", &["image", "outcome"]),
            call_seconds: family.histograms("snapback_call_seconds", "Time that a call ran.", CALLS, &["image"]),
            in_flight: family.gauge("snapback_calls_in_flight", "Calls that run now."),
            abandoned: family.counter("snapback_calls_abandoned_total", "Queued calls whose client left before their turn."),
            retried: family.counters("snapback_calls_retried_total", "Calls run again in a fresh instance, a used one having trapped or run out of memory.", &["image"]),
            lost: family.counter("snapback_calls_lost_total", "Calls that were admitted and got no answer: stays 0, or is a defect."),
            stalled: family.counters("snapback_calls_stalled_total", "Calls that used no processor for call.stall_timeout; their lane was replaced.", &["image"]),
            retained_bytes: family.histograms("snapback_call_retained_bytes", "Linear memory that a call added to its instance.", MEMORY, &["image", "method"]),
            queue_length: family.gauge("snapback_queue_length", "Calls that wait for a lane."),
            queue_wait_seconds: family.histograms("snapback_queue_wait_seconds", "Time that a call waited for a lane.", CALLS, &["image"]),
            lanes: family.gauge("snapback_lanes", "Lanes that were asked for."),
            lanes_at_work: family.gauge("snapback_lanes_at_work", "Lanes that take calls: fewer than snapback_lanes when some are stuck and no thread is left."),
            swaps: family.counters("snapback_swaps_total", "Instances that a lane replaced, by reason.", &["image", "reason"]),
            swaps_refused: family.counters("snapback_swaps_refused_total", "Swaps put off because of swap.per_minute_max.", &["image"]),
            swap_seconds: family.histograms("snapback_swap_seconds", "Time that a lane spent on a swap.", MICROSECONDS, &["image"]),
            swap_pause_seconds: family.histograms("snapback_swap_pause_seconds", "Time that a call waited because its lane was swapping; 0 where none waited.", MICROSECONDS, &["image"]),
            standby_seconds: family.histograms("snapback_standby_preparation_seconds", "Time to make a standby.", MICROSECONDS, &["image"]),
            standby_failures: family.counters("snapback_standby_failures_total", "Standbys that could not be made.", &["image"]),
            standby_missing: family.counters("snapback_standby_missing_total", "Instances made on a lane, no standby being ready.", &["image"]),
            drop_seconds: family.histogram("snapback_instance_drop_seconds", "Time to drop a retired instance.", MICROSECONDS),
            reaper_full: family.counter("snapback_reaper_full_total", "Instances dropped on a lane, the reaper's queue being full."),
            memory_linear: family.gauges("snapback_memory_linear_bytes", "Linear memory of the active instance.", &["image", "lane"]),
            memory_linear_peak: family.gauges("snapback_memory_linear_peak_bytes", "The most linear memory that an instance had.", &["image", "lane"]),
            memory_used: family.gauges("snapback_memory_used_bytes", "Memory in use by the active instance: linear memory, or the guest's own count where that is more.", &["image", "lane"]),
            memory_limit: family.gauges("snapback_memory_limit_bytes", "What an instance may have: memory.limit.", &["image"]),
            memory_peak_bytes: family.histogram("snapback_instance_memory_peak_bytes", "Linear memory of instances when they were retired.", MEMORY),
            growth_refused: family.counters("snapback_memory_growth_refused_total", "Calls that failed because they needed more than memory.limit.", &["image"]),
            process_private_dirty: family.gauge("snapback_process_private_dirty_bytes", "Memory of the process that is its own and written to."),
            process_shared: family.gauge("snapback_process_shared_bytes", "Memory of the process that it shares with others, or could: images among it."),
            process_limit: family.gauge("snapback_process_limit_bytes", "What the process may have: memory.process_limit, or its cgroup's limit; 0 where nobody limits it."),
            process_resident: family.gauge("snapback_process_resident_bytes", "Resident memory of the process."),
            breaker: family.gauges("snapback_breaker_state", "Circuit breaker: 0 closed, 1 half open, 2 open.", &["image"]),
            native_code: family.counters("snapback_native_code_total", "Images loaded, by where their native code came from.", &["origin"]),
            cold_start_seconds: family.histogram("snapback_cold_start_seconds", "Time from the start of the server to its readiness.", CALLS),
            drain_seconds: family.histogram("snapback_drain_seconds", "Time from a drain to the last answer.", CALLS),
            events_missed: family.counter("snapback_events_missed_total", "Events that listeners were too slow for."),
            image_info: family.gauges("snapback_image_info", "1 for each image being served.", &["image", "digest"]),
            circuit_changes: family.counters("snapback_circuit_changes_total", "Bakes of changed circuits, by outcome.", &["image", "outcome"]),
            witness_seconds: family.histograms("snapback_witness_seconds", "Time that a witness calculator ran.", CALLS, &["image"]),
            registry,
        }
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
