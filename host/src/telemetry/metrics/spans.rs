//! Records what becomes of the spans of traces.

use super::families::Metrics;

/// What became of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpanOutcome {
    /// The collector has taken it.
    Exported,
    /// The collector does not want it.
    Refused,
    /// The collector could not be reached, or did not answer.
    Failed,
    /// There was no room for it.
    QueueFull,
}

impl SpanOutcome {
    const ALL: [Self; 4] = [Self::Exported, Self::Refused, Self::Failed, Self::QueueFull];

    fn label(self) -> &'static str {
        match self {
            Self::Exported => "exported",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::QueueFull => "queue_full",
        }
    }
}

impl Metrics {
    /// Creates the counters of spans, so that rates are known from the start.
    pub(crate) fn register_spans(&self) {
        SpanOutcome::ALL.into_iter().for_each(|outcome| self.spans_ended(outcome, 0));
    }

    /// Records what became of spans.
    pub(crate) fn spans_ended(&self, outcome: SpanOutcome, spans: u64) {
        self.trace_spans.with_label_values(&[outcome.label()]).inc_by(spans);
    }
}
