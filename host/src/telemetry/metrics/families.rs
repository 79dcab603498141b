//! The metric families: names, help texts, labels, buckets.
//!
//! Invariant: each family is registered once, in the registry of its server, and has a help text.

use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

const MICROSECONDS: &[f64] = &[1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 1e-3, 1e-2, 1e-1];
const CALLS: &[f64] = &[1e-4, 1e-3, 1e-2, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];
/// A start takes milliseconds where native code is cached, and minutes where the image has to be baked first.
const STARTS: &[f64] =
    &[1e-3, 2e-3, 5e-3, 7.5e-3, 1e-2, 1.5e-2, 2e-2, 3e-2, 5e-2, 7.5e-2, 0.1, 0.5, 1.0, 10.0, 60.0];
const MEMORY: &[f64] = &[1e6, 1e7, 5e7, 1e8, 2.5e8, 5e8, 1e9, 2e9, 4.3e9];

/// Every metric family of a server.
pub struct Metrics {
    pub(super) registry: Registry,
    pub(super) requests: IntCounterVec,
    pub(super) request_seconds: Histogram,
    pub(super) rejected: IntCounterVec,
    pub(super) connections: IntGauge,
    pub(super) buffered_bytes: IntGauge,
    pub(super) unread_discarded: IntCounter,
    pub(super) handshakes_failed: IntCounter,
    pub(super) certificate_not_after: Gauge,
    pub(super) calls: IntCounterVec,
    pub(super) call_seconds: HistogramVec,
    pub(super) in_flight: IntGauge,
    pub(super) abandoned: IntCounter,
    pub(super) retried: IntCounterVec,
    pub(super) method_calls: IntCounterVec,
    pub(super) policy_calls: IntCounterVec,
    pub(super) policy_call_seconds: HistogramVec,
    pub(super) lost: IntCounter,
    pub(super) stalled: IntCounterVec,
    pub(super) retained_bytes: HistogramVec,
    pub(super) queue_length: IntGauge,
    pub(super) queue_wait_seconds: HistogramVec,
    pub(super) lanes: IntGauge,
    pub(super) lanes_at_work: IntGauge,
    pub(super) swaps: IntCounterVec,
    pub(super) swaps_refused: IntCounterVec,
    pub(super) swaps_put_off: IntCounterVec,
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
    pub(super) native_checks: IntCounterVec,
    pub(super) cold_start_seconds: Histogram,
    pub(super) cold_start_target_seconds: Gauge,
    pub(super) drain_seconds: Histogram,
    pub(super) events_missed: IntCounter,
    pub(super) image_info: IntGaugeVec,
    pub(super) circuit_changes: IntCounterVec,
    pub(super) jobs: IntGaugeVec,
    pub(super) jobs_waiting_bytes: IntGauge,
    pub(super) jobs_oldest_waiting_seconds: Gauge,
    pub(super) jobs_shared: IntCounterVec,
    pub(super) webhooks: IntGaugeVec,
    pub(super) webhook_attempts: IntCounterVec,
    pub(super) witness_seconds: HistogramVec,
    pub(super) trace_spans: IntCounterVec,
}

impl Metrics {
    /// Creates the families in a registry of their own.
    ///
    /// # Panics
    /// Does not panic: the names below are valid and distinct, which every start of a server exercises.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let family = Family(&registry);
        family
            .gauges("snapback_build_info", "Always 1; the label holds the version.", &["version"])
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        Self {
            requests: family.counters("snapback_http_requests_total", "HTTP requests that were answered.", &["route", "status"]),
            request_seconds: family.histogram("snapback_http_request_seconds", "Time from the head of a request to its reply.", CALLS),
            rejected: family.counters("snapback_rejected_total", "Requests rejected at a limit, by the setting that limits them.", &["limit"]),
            connections: family.gauge("snapback_http_connections", "Open connections."),
            buffered_bytes: family.gauge("snapback_http_buffered_bytes", "Bytes of request bodies and replies in memory; see http.buffered_bytes_max."),
            unread_discarded: family.counter("snapback_http_unread_bytes_total", "Bytes of request bodies that were read and dropped after an early answer; see http.unread_bytes_max."),
            handshakes_failed: family.counter("snapback_tls_handshakes_failed_total", "Connections that ended before their handshake was over."),
            certificate_not_after: family.seconds("snapback_tls_certificate_not_after_seconds", "When the certificate of tls.cert expires, in seconds since 1970; 0 without TLS."),
            calls: family.counters("snapback_calls_total", "Calls that ran on a lane, by outcome.", &["image", "outcome"]),
            call_seconds: family.histograms("snapback_call_seconds", "Time that a call ran.", CALLS, &["image"]),
            method_calls: family.counters("snapback_method_calls_total", "Calls that ran on a lane, by method and outcome.", &["image", "method", "outcome"]),
            policy_calls: family.counters("snapback_policy_calls_total", "Calls that ran on a lane, by the swap policy that applied to them; see swap.share.", &["image", "policy", "outcome"]),
            policy_call_seconds: family.histograms("snapback_policy_call_seconds", "Time that a call ran, by the swap policy that applied to it; see swap.share.", CALLS, &["image", "policy"]),
            in_flight: family.gauge("snapback_calls_in_flight", "Calls that are running."),
            abandoned: family.counter("snapback_calls_abandoned_total", "Queued calls whose client disconnected before their turn."),
            retried: family.counters("snapback_calls_retried_total", "Calls that ran again in a fresh instance after a used one trapped or ran out of memory.", &["image"]),
            lost: family.counter("snapback_calls_lost_total", "Admitted calls that got no reply. Anything but 0 is a defect of the server."),
            stalled: family.counters("snapback_calls_stalled_total", "Calls that used no processor time for call.stall_timeout; their lane was replaced.", &["image"]),
            retained_bytes: family.histograms("snapback_call_retained_bytes", "Linear memory that a call added to its instance.", MEMORY, &["image", "method"]),
            queue_length: family.gauge("snapback_queue_length", "Calls waiting for a lane."),
            queue_wait_seconds: family.histograms("snapback_queue_wait_seconds", "Time that a call waited for a lane.", CALLS, &["image"]),
            lanes: family.gauge("snapback_lanes", "Configured lanes."),
            lanes_at_work: family.gauge("snapback_lanes_at_work", "Lanes that take calls; fewer than snapback_lanes while some are stalled and no spare thread is left."),
            swaps: family.counters("snapback_swaps_total", "Instances that a lane replaced, by reason.", &["image", "reason"]),
            swaps_refused: family.counters("snapback_swaps_refused_total", "Swaps deferred because of swap.per_minute_max.", &["image"]),
            swaps_put_off: family.counters("snapback_swaps_put_off_total", "Swaps that were due and deferred, by reason; each swap counts once for each reason.", &["image", "reason"]),
            swap_seconds: family.histograms("snapback_swap_seconds", "Time that a lane spent on a swap.", MICROSECONDS, &["image"]),
            swap_pause_seconds: family.histograms("snapback_swap_pause_seconds", "Time that a call waited for its lane to swap; 0 for calls that did not wait.", MICROSECONDS, &["image"]),
            standby_seconds: family.histograms("snapback_standby_preparation_seconds", "Time to instantiate a standby.", MICROSECONDS, &["image"]),
            standby_failures: family.counters("snapback_standby_failures_total", "Standbys that could not be instantiated.", &["image"]),
            standby_missing: family.counters("snapback_standby_missing_total", "Instances that a lane made itself because no standby was ready.", &["image"]),
            drop_seconds: family.histogram("snapback_instance_drop_seconds", "Time to drop a retired instance.", MICROSECONDS),
            reaper_full: family.counter("snapback_reaper_full_total", "Instances that a lane dropped itself because the reaper's queue was full."),
            memory_linear: family.gauges("snapback_memory_linear_bytes", "Linear memory of the active instance.", &["image", "lane"]),
            memory_linear_peak: family.gauges("snapback_memory_linear_peak_bytes", "Most linear memory that any instance of the lane has had.", &["image", "lane"]),
            memory_used: family.gauges("snapback_memory_used_bytes", "Memory in use by the active instance: linear memory, or the guest's own count where that is larger.", &["image", "lane"]),
            memory_limit: family.gauges("snapback_memory_limit_bytes", "Linear memory that an instance may have: memory.limit.", &["image"]),
            memory_peak_bytes: family.histogram("snapback_instance_memory_peak_bytes", "Linear memory of instances when they were retired.", MEMORY),
            growth_refused: family.counters("snapback_memory_growth_refused_total", "Calls that needed more than memory.limit, by outcome: retried in a fresh instance, or failed.", &["image", "outcome"]),
            process_private_dirty: family.gauge("snapback_process_private_dirty_bytes", "Memory that is private to the process and written to."),
            process_shared: family.gauge("snapback_process_shared_bytes", "Memory of the process that it shares, or could share, with other processes, such as images."),
            process_limit: family.gauge("snapback_process_limit_bytes", "Memory that the process may have: memory.process_limit or the limit of its cgroup; 0 without a limit."),
            process_resident: family.gauge("snapback_process_resident_bytes", "Resident memory of the process."),
            breaker: family.gauges("snapback_breaker_state", "Circuit breaker: 0 closed, 1 half open, 2 open.", &["image"]),
            native_code: family.counters("snapback_native_code_total", "Images loaded, by the origin of their native code.", &["origin"]),
            native_checks: family.counters("snapback_native_checks_total", "Checks of native code before it was mapped: by identity, in full with the reason, or none for memory.", &["check", "reason"]),
            cold_start_seconds: family.histogram("snapback_cold_start_seconds", "Time from the start of the server to its readiness.", STARTS),
            cold_start_target_seconds: family.seconds("snapback_cold_start_target_seconds", "Time that a start with cached native code should take at most: cold_start.target."),
            drain_seconds: family.histogram("snapback_drain_seconds", "Time from the beginning of a drain to the last reply.", CALLS),
            events_missed: family.counter("snapback_events_missed_total", "Events that slow listeners missed."),
            image_info: family.gauges("snapback_image_info", "Always 1; the labels name each image that is being served, and say whether its code has vector instructions.", &["image", "digest", "simd"]),
            circuit_changes: family.counters("snapback_circuit_changes_total", "Changes of circuits, by outcome.", &["image", "outcome"]),
            jobs: family.gauges("snapback_jobs", "Durable jobs that are remembered, by state.", &["state"]),
            jobs_waiting_bytes: family.gauge("snapback_jobs_waiting_bytes", "Bodies of durable jobs that wait."),
            jobs_oldest_waiting_seconds: family.seconds("snapback_jobs_oldest_waiting_seconds", "How long the oldest durable job that waits has waited; 0 if none waits."),
            jobs_shared: family.counters("snapback_jobs_shared_total", "Durable jobs that got the result of identical work and did not run; see jobs.share_pure.", &["image"]),
            webhooks: family.gauges("snapback_webhooks", "Webhooks that wait, and those that have ended and are listed, by state.", &["state"]),
            webhook_attempts: family.counters("snapback_webhook_attempts_total", "Attempts to deliver a webhook, by what followed: delivered, retried (another attempt follows), or dead (it was given up).", &["outcome"]),
            witness_seconds: family.histograms("snapback_witness_seconds", "Time that a witness calculator ran.", CALLS, &["image"]),
            trace_spans: family.counters("snapback_trace_spans_total", "Spans of traces, by outcome: exported, refused by the collector, failed (it could not be reached), or queue_full (see traces.queue_max).", &["outcome"]),
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
        let metric = metric.expect("the names are valid");
        self.0.register(Box::new(metric.clone())).expect("the names are distinct");
        metric
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn seconds(&self, name: &str, help: &str) -> Gauge {
        self.register(Gauge::new(name, help))
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
