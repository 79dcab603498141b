//! What the server reports about itself: metrics for scrapers, events for logs and operators.
//!
//! ```text
//! metrics           counters, gauges and histograms in Prometheus' format
//! events            what happens to instances, as it happens
//! history           the last hour of calls
//! setting_changes   who changed which settings
//! traces            what a request went through, for collectors of OpenTelemetry
//! ```
//!
//! Invariant: reports hold names, sizes and times of this program, never anything that a client sent; traces hold the ids
//! by which a client finds its own requests beside that.

pub mod events;
pub mod history;
pub mod metrics;
pub mod setting_changes;
pub mod traces;

use events::Events;
use history::History;
use metrics::Metrics;
use setting_changes::SettingChanges;
use std::sync::Arc;
use traces::Traces;

/// Every kind of report, as all parts of a server share them.
#[derive(Clone, Default)]
pub struct Telemetry {
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Events.
    pub events: Arc<Events>,
    /// The last hour of calls.
    pub history: Arc<History>,
    /// The latest changes of settings.
    pub setting_changes: Arc<SettingChanges>,
    /// Traces.
    pub traces: Traces,
}
