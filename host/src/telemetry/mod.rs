//! What the server reports about itself: metrics for scrapers, events for logs and operators.
//!
//! ```text
//! metrics    counters, gauges and histograms in Prometheus' format
//! events     what happens to instances, as it happens
//! ```
//!
//! Invariant: reports hold names, sizes and times of this program, never anything that a client sent.

pub mod events;
pub mod metrics;

use events::Events;
use metrics::Metrics;
use std::sync::Arc;

/// Both kinds of report, as every part of a server shares them.
#[derive(Clone, Default)]
pub struct Telemetry {
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Events.
    pub events: Arc<Events>,
}
