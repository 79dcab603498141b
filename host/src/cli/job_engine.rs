//! The engine of the jobs for a server: who may use it, its bounds, and what opens it.
//!
//! Invariant: opening happens beside the start of the server, which never waits for it.

use crate::{
    config::{Config, JobAcceptance},
    ids::Tenant,
    jobs::{JobEngine, JobError, JobLimits, SealingKey, SqliteJobs, SystemClock, TenantLimits},
    worker::JobClients,
};
use std::{collections::HashMap, sync::Arc};

/// Directory of the jobs within the state directory.
const JOBS: &str = "jobs";

/// Who may use jobs; nobody where they are off.
pub(super) fn job_clients(config: &Config) -> Option<JobClients> {
    match config.jobs.acceptance {
        JobAcceptance::On => Some(JobClients::All),
        // A key says whose jobs they are, also where a proxy passes requests on.
        JobAcceptance::Auto if config.access.are_needed(config.listen) => Some(JobClients::All),
        JobAcceptance::Auto if config.listen.ip().is_loopback() => Some(JobClients::Local),
        JobAcceptance::Auto | JobAcceptance::Off => None,
    }
}

/// Bounds of the jobs.
pub(super) fn job_limits(config: &Config) -> JobLimits {
    config.webhooks.limit(config.jobs.limits(config.http.body_bytes_max, config.reply_bytes_max))
}

/// Returns what opens the engine of the jobs.
pub(super) fn opening(
    config: &Config,
    tenants: HashMap<Tenant, TenantLimits>,
    key: Result<SealingKey, JobError>,
) -> impl FnOnce() -> Result<Arc<dyn JobEngine>, JobError> + Send + 'static {
    let limits = job_limits(config);
    // Where there are several tenants, none of them can close the jobs of the others.
    let share = |all: u64| if config.access.are_needed(config.listen) { all - all / 4 } else { all };
    let limits = JobLimits {
        tenant_queued_bytes_max: config.access.quota.stored_bytes_max.unwrap_or(u64::MAX),
        tenant_remembered_max: share(limits.remembered_max),
        tenant_kept_bytes_max: share(limits.kept_bytes_max),
        tenants,
        ..limits
    };
    let directory = config.state_dir.join(JOBS);
    move || Ok(Arc::new(SqliteJobs::open(&directory, &key?, limits, Arc::new(SystemClock::default()))?))
}
