//! Every bound of an engine.
//!
//! Invariant: nothing that an engine keeps or waits for is without a bound of its own here.

use super::Tenant;
use std::{collections::HashMap, time::Duration};

/// The bounds of an engine.
#[derive(Clone, Debug)]
pub struct JobLimits {
    /// Most jobs that are remembered, in any state.
    pub remembered_max: u64,
    /// Bytes of results that are kept, above which no jobs are accepted.
    pub kept_bytes_max: u64,
    /// Most jobs of one tenant that are remembered, in any state.
    pub tenant_remembered_max: u64,
    /// Bytes of results of one tenant that are kept, above which no jobs of the tenant are accepted.
    pub tenant_kept_bytes_max: u64,
    /// Longest time from now at which a job may begin or expire, by its own terms.
    pub delay_max: Duration,
    /// Most jobs that wait, of all tenants.
    pub queued_max: u64,
    /// Most bytes of the bodies of jobs that wait, of all tenants.
    pub queued_bytes_max: u64,
    /// Most jobs of one tenant that wait.
    pub tenant_queued_max: u64,
    /// Most bytes of the bodies of one tenant's jobs that wait.
    pub tenant_queued_bytes_max: u64,
    /// Most bytes of one body.
    pub body_bytes_max: u64,
    /// Most bytes of one result. A job with a longer one fails with the code `result_too_large`.
    pub result_bytes_max: u64,
    /// How long a claimed job is its holder's after the claim or the last renewal, by the monotonic clock.
    pub lease: Duration,
    /// Attempts of one job that may end with the death of their process or the loss of their lease. With the last of
    /// them, the job is quarantined.
    pub attempts_max: u32,
    /// Retries of one job. After them, it fails with the code of its last failure.
    pub retries_max: u32,
    /// Longest pause before the first retry. The bound doubles with each further retry; half of it is the shortest.
    pub backoff_min: Duration,
    /// Longest pause before any retry.
    pub backoff_max: Duration,
    /// How long a result is kept, by the wall clock.
    pub result_ttl: Duration,
    /// How long a job waits before it expires, by the wall clock, unless it was submitted with a time of its own.
    pub waiting_ttl: Duration,
    /// How long the tombstone of a job stays after its result, by the wall clock. Its idempotency key is known as long.
    pub idempotency_window: Duration,
    /// Most bytes of a body or result that is stored in the database. Larger ones become files.
    pub inline_bytes_max: u64,
    /// Most jobs of one submission.
    pub batch_max: usize,
    /// Most deliveries that wait. Jobs with a callback are refused then, and what ends nevertheless is a dead letter.
    pub deliveries_max: u64,
    /// How long a delivery that has ended is listed, by the wall clock. At most [`remembered_max`](Self::remembered_max)
    /// are.
    pub delivery_ttl: Duration,
    /// How long a claimed delivery is its holder's, by the wall clock.
    pub delivery_lease: Duration,
    /// What differs for some tenants.
    pub tenants: HashMap<Tenant, TenantLimits>,
}

/// What differs for one tenant.
#[derive(Clone, Copy, Debug)]
pub struct TenantLimits {
    /// Share of the running time, relative to the other tenants that have jobs waiting. The default is 1; 0 counts as 1.
    pub weight: u32,
    /// Takes the place of [`JobLimits::tenant_queued_max`].
    pub queued_max: Option<u64>,
    /// Takes the place of [`JobLimits::tenant_queued_bytes_max`].
    pub queued_bytes_max: Option<u64>,
}

impl Default for TenantLimits {
    fn default() -> Self {
        Self { weight: 1, queued_max: None, queued_bytes_max: None }
    }
}

impl Default for JobLimits {
    fn default() -> Self {
        Self {
            remembered_max: 1_000_000,
            kept_bytes_max: 16 << 30,
            tenant_remembered_max: 1_000_000,
            tenant_kept_bytes_max: 16 << 30,
            delay_max: Duration::from_hours(30 * 24),
            queued_max: 100_000,
            queued_bytes_max: 4 << 30,
            tenant_queued_max: 100_000,
            tenant_queued_bytes_max: 4 << 30,
            body_bytes_max: 64 << 20,
            result_bytes_max: 64 << 20,
            lease: Duration::from_secs(30),
            attempts_max: 2,
            retries_max: 5,
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_mins(5),
            result_ttl: Duration::from_hours(24),
            waiting_ttl: Duration::from_hours(24),
            idempotency_window: Duration::from_hours(24),
            inline_bytes_max: 16 << 10,
            batch_max: 1000,
            deliveries_max: 100_000,
            delivery_ttl: Duration::from_hours(7 * 24),
            delivery_lease: Duration::from_mins(2),
            tenants: HashMap::new(),
        }
    }
}

impl JobLimits {
    pub(super) fn weight(&self, tenant: &Tenant) -> u32 {
        self.tenants.get(tenant).map_or(1, |limits| limits.weight.max(1))
    }

    pub(super) fn tenant_queued_max(&self, tenant: &Tenant) -> u64 {
        self.tenants.get(tenant).and_then(|limits| limits.queued_max).unwrap_or(self.tenant_queued_max)
    }

    pub(super) fn tenant_queued_bytes_max(&self, tenant: &Tenant) -> u64 {
        let own = self.tenants.get(tenant).and_then(|limits| limits.queued_bytes_max);
        own.unwrap_or(self.tenant_queued_bytes_max)
    }

    /// Bounds of the pause before a retry that follows this many earlier ones.
    pub(super) fn backoff(&self, retries: u32) -> (Duration, Duration) {
        let most = self.backoff_min.saturating_mul(1 << retries.min(20)).min(self.backoff_max);
        (most / 2, most)
    }
}
