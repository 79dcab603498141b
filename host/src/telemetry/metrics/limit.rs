//! The limits on clients, by the settings that set them.
//!
//! Invariant: every limit on clients is here, so that each refusal is counted under a name.

use std::fmt;

/// Limits at which a request is rejected before it becomes a call.
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
    /// `circuits.changes_max`.
    Changes,
    /// `circuits.upload_bytes_max`.
    UploadBytes,
    /// `circuits.upload_rate_min`.
    UploadRate,
    /// `jobs.waiting_max`.
    WaitingJobs,
    /// `jobs.waiting_bytes_max`.
    WaitingJobBytes,
    /// `jobs.batch_max`.
    JobBatch,
    /// `jobs.remembered_max`.
    RememberedJobs,
    /// `jobs.kept_bytes_max`.
    JobResults,
    /// `webhooks.waiting_max`.
    WaitingWebhooks,
    /// `http.connections_max`.
    Connections,
    /// `http.connections_per_peer_max`.
    PeerConnections,
    /// `tenants.concurrent_max`.
    TenantConcurrent,
    /// `tenants.per_minute_max`.
    TenantPerMinute,
    /// `tenants.bytes_per_minute_max`.
    TenantBytesPerMinute,
    /// `tenants.stored_bytes_max`.
    TenantStoredBytes,
    /// `audit.waiting_max`.
    AuditLines,
}

impl Limit {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::BodyBytes => "http.body_bytes_max",
            Self::BufferedBytes => "http.buffered_bytes_max",
            Self::BodyTimeout => "http.body_timeout",
            Self::QueueDepth => "queue.depth",
            Self::Breaker => "breaker.failures",
            Self::Changes => "circuits.changes_max",
            Self::UploadBytes => "circuits.upload_bytes_max",
            Self::UploadRate => "circuits.upload_rate_min",
            Self::WaitingJobs => "jobs.waiting_max",
            Self::WaitingJobBytes => "jobs.waiting_bytes_max",
            Self::JobBatch => "jobs.batch_max",
            Self::RememberedJobs => "jobs.remembered_max",
            Self::JobResults => "jobs.kept_bytes_max",
            Self::WaitingWebhooks => "webhooks.waiting_max",
            Self::Connections => "http.connections_max",
            Self::PeerConnections => "http.connections_per_peer_max",
            Self::TenantConcurrent => "tenants.concurrent_max",
            Self::TenantPerMinute => "tenants.per_minute_max",
            Self::TenantBytesPerMinute => "tenants.bytes_per_minute_max",
            Self::TenantStoredBytes => "tenants.stored_bytes_max",
            Self::AuditLines => "audit.waiting_max",
        }
    }
}

impl fmt::Display for Limit {
    /// Writes the setting.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}
