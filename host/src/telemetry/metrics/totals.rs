//! Figures that are read back from the metrics: totals over all images, and how the server started.

use super::Metrics;
use crate::telemetry::history::Troubles;
use prometheus::{core::Collector, proto::Metric};
use serde::Serialize;
use std::collections::BTreeMap;

/// How the server started.
#[derive(Debug, Serialize)]
pub(crate) struct Start {
    /// Seconds from the start to readiness; `None` before.
    seconds: Option<f64>,
    /// What it should take at most with cached native code: `cold_start.target`.
    target_seconds: f64,
    /// Images loaded, by the origin of their native code.
    native_code: BTreeMap<String, u64>,
}

impl Metrics {
    /// Totals of what should not happen.
    pub(crate) fn troubles(&self) -> Troubles {
        Troubles {
            lost: self.lost.get(),
            rejected: sum_where(&self.rejected, "limit", "queue.depth"),
            growth_refused: sum_where(&self.growth_refused, "outcome", "failed"),
            swaps_put_off: sum(&self.swaps_put_off, |_| true),
            swaps_refused: sum(&self.swaps_refused, |_| true),
            standby_failures: sum(&self.standby_failures, |_| true),
            changes_failed: sum_where(&self.circuit_changes, "outcome", "failed"),
        }
    }

    /// How the server started.
    pub(crate) fn start(&self) -> Start {
        let (sum, starts) =
            (self.cold_start_seconds.get_sample_sum(), self.cold_start_seconds.get_sample_count());
        let families = self.native_code.collect();
        let origins = families.iter().flat_map(|family| family.get_metric()).filter_map(|metric| {
            let origin = metric.get_label().first()?.value().to_owned();
            Some((origin, metric.get_counter().get_value() as u64))
        });
        Start {
            seconds: (starts > 0).then(|| sum / starts as f64),
            target_seconds: self.cold_start_target_seconds.get(),
            native_code: origins.collect(),
        }
    }
}

fn sum_where(counters: &impl Collector, label: &str, value: &str) -> u64 {
    let is_so =
        |metric: &Metric| metric.get_label().iter().any(|pair| pair.name() == label && pair.value() == value);
    sum(counters, is_so)
}

fn sum(counters: &impl Collector, is_counted: impl Fn(&Metric) -> bool) -> u64 {
    let families = counters.collect();
    let metrics = families.iter().flat_map(|family| family.get_metric());
    metrics.filter(|metric| is_counted(metric)).map(|metric| metric.get_counter().get_value() as u64).sum()
}
