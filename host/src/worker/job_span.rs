//! The span of an attempt at a job: a part of the trace of the request that submitted it, also after a restart.
//!
//! Invariant: the traceparent that was stored with the job decides whether its attempts are recorded. It is read again as
//! strictly as when it arrived.

use crate::{
    jobs::{JobId, JobRecord, Tenant},
    telemetry::traces::{Kind, Roots, Status, Trace, Traces, attribute},
};
use std::time::Instant;

/// The span of an attempt at a job, until it has ended.
pub(super) struct JobSpan {
    trace: Trace,
    begun: Instant,
    job: JobId,
    tenant: Tenant,
    attempt: u64,
}

impl JobSpan {
    /// Begins the span.
    pub(super) fn begin(traces: &Traces, job: &JobRecord) -> Self {
        let parent = job.traceparent.as_deref().and_then(|text| text.parse().ok());
        Self {
            trace: traces.begin(parent, None, Roots::Sampled),
            begun: Instant::now(),
            job: job.id,
            tenant: job.tenant.clone(),
            attempt: u64::from(job.attempts),
        }
    }

    /// The trace, for the call of the job.
    pub(super) fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Records the span, of an attempt that ended like this.
    pub(super) fn end(self, outcome: &'static str) {
        let status = if ["retry", "not_stored"].contains(&outcome) { Status::Error } else { Status::Unset };
        self.trace.end(Kind::Consumer, (self.begun, Instant::now()), status, || {
            let attributes = vec![
                attribute("snapback.job", self.job.to_string()),
                attribute("snapback.job.attempt", self.attempt),
                attribute("snapback.outcome", outcome),
                attribute("snapback.tenant", self.tenant.to_string()),
            ];
            ("job".into(), attributes)
        });
    }
}
