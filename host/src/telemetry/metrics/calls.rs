//! Records calls.

use super::families::Metrics;
use crate::{instance::Fault, policy::SwapPolicy};
use prometheus::core::Collector;
use snapback_abi::reply::Tag;
use snapback_snapshot::call::Reply;
use std::{collections::BTreeMap, time::Duration};

/// How a call ended that needed more memory than it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusedGrowth {
    /// It ran again in a fresh instance.
    Retried,
    /// It failed.
    Failed,
}

/// Names how a call ended.
pub(crate) fn outcome(result: &Result<Reply, Fault>) -> &'static str {
    match result {
        Ok(reply) if reply.tag == Tag::Ok => "ok",
        Ok(_) => "refused",
        Err(Fault::OutOfMemory(_)) => "out_of_memory",
        Err(Fault::Deadline(_)) => "deadline",
        Err(Fault::Trap(_)) => "trap",
        Err(Fault::Stalled(_)) => "stall",
        Err(Fault::Cancelled) => "cancelled",
        Err(Fault::ReplyTooLarge { .. }) => "reply_too_large",
        Err(Fault::Contract(_)) => "broke_contract",
        Err(Fault::NoSuchMethod) => "no_such_method",
        Err(Fault::Calculator(_)) => "no_witness",
        Err(Fault::Engine(_)) => "engine",
    }
}

impl Metrics {
    pub(crate) fn call_began(&self) {
        self.in_flight.inc();
    }

    pub(crate) fn call_retained(&self, image: &str, method: &str, bytes: u64) {
        self.retained_bytes.with_label_values(&[image, method]).observe(bytes as f64);
    }

    pub(crate) fn call_retried(&self, image: &str) {
        self.retried.with_label_values(&[image]).inc();
    }

    pub(crate) fn call_lost(&self) {
        self.lost.inc();
    }

    pub(crate) fn call_stalled(&self, image: &str) {
        self.stalled.with_label_values(&[image]).inc();
    }

    pub(crate) fn call_abandoned(&self) {
        self.abandoned.inc();
    }

    pub(crate) fn call_dequeued(&self, image: &str, waited: Duration) {
        self.queue_wait_seconds.with_label_values(&[image]).observe(waited.as_secs_f64());
    }

    /// Records how a call ended, and under which swap policy it was served.
    pub(crate) fn call_ended(
        &self,
        image: &str,
        method: &str,
        swap: SwapPolicy,
        took: Duration,
        result: &Result<Reply, Fault>,
    ) {
        self.in_flight.dec();
        if let Err(Fault::OutOfMemory(_)) = result {
            self.growth_refused(image, RefusedGrowth::Failed);
        }
        let outcome = outcome(result);
        let seconds = took.as_secs_f64();
        // A client may ask for any method; only those of the image become labels.
        let method = if matches!(result, Err(Fault::NoSuchMethod)) { "none" } else { method };
        self.calls.with_label_values(&[image, outcome]).inc();
        self.method_calls.with_label_values(&[image, method, outcome]).inc();
        self.policy_calls.with_label_values(&[image, swap.name(), outcome]).inc();
        self.call_seconds.with_label_values(&[image]).observe(seconds);
        self.policy_call_seconds.with_label_values(&[image, swap.name()]).observe(seconds);
    }

    /// Records that a call needed more memory than `memory.limit`.
    pub(crate) fn growth_refused(&self, image: &str, outcome: RefusedGrowth) {
        let outcome = match outcome {
            RefusedGrowth::Retried => "retried",
            RefusedGrowth::Failed => "failed",
        };
        self.growth_refused.with_label_values(&[image, outcome]).inc();
    }

    /// Number of calls by method and outcome, for one image.
    pub(crate) fn calls_by_method(&self, image: &str) -> BTreeMap<String, BTreeMap<String, u64>> {
        let mut methods: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for family in self.method_calls.collect() {
            for metric in family.get_metric() {
                let label = |name: &str| {
                    let pair = metric.get_label().iter().find(|pair| pair.name() == name);
                    pair.map_or("", |pair| pair.value())
                };
                if label("image") == image {
                    let outcomes = methods.entry(label("method").to_owned()).or_default();
                    outcomes.insert(label("outcome").to_owned(), metric.get_counter().get_value() as u64);
                }
            }
        }
        methods
    }

    /// Mean duration of all calls so far, in seconds; zero before the first.
    #[must_use]
    pub fn call_seconds_mean(&self) -> f64 {
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
