//! What is recorded, listed and counted of jobs.
//!
//! Invariant: a record never contains a body, a result or an idempotency key, and no `Debug` output shows one.

use super::{Cursor, JobId, Priority, ResultDigest, Tenant, Timestamp};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, time::Duration};
use zeroize::Zeroizing;

/// Which image a job runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageChoice {
    /// The one that its service has when the job is claimed.
    #[default]
    Current,
    /// The one with this digest.
    Digest(String),
}

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = JobState)]
pub enum State {
    /// It waits, or waits again.
    Queued,
    /// It is being run.
    Claimed,
    /// It has a result.
    Succeeded,
    /// It was refused, or its retries are used up.
    Failed,
    /// It killed its process, or its lease was lost, too often.
    Quarantined,
    /// It was cancelled before it had a result.
    Cancelled,
    /// It waited too long, or its result was kept long enough.
    Expired,
}

impl State {
    /// All states, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Claimed,
        Self::Succeeded,
        Self::Failed,
        Self::Quarantined,
        Self::Cancelled,
        Self::Expired,
    ];

    /// Whether a job in this state is never run again.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        !matches!(self, Self::Queued | Self::Claimed)
    }

    /// The name by which clients know the state.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Claimed => "claimed",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Quarantined => "quarantined",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is known about a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JobRecord {
    /// Identifies the job.
    pub id: JobId,
    /// Who it belongs to.
    pub tenant: Tenant,
    /// Name of the service that runs it.
    pub service: String,
    /// Method of the service.
    pub method: String,
    /// Circuit that the method is called for.
    pub circuit: Option<String>,
    /// Image that was asked for, or the one that was used once the job has ended.
    pub image: ImageChoice,
    /// Where it is in its life.
    pub state: State,
    /// Attempts that were begun, without those that were given back.
    pub attempts: u32,
    /// Precedence among the jobs of the tenant.
    pub priority: Priority,
    /// Jobs of the same tenant that wait and come before this one, at most 10,000. `None` unless it is queued, and in
    /// lists.
    pub place: Option<u64>,
    /// When it was submitted.
    pub submitted: Timestamp,
    /// When the current or last attempt was begun.
    pub claimed: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Earliest time at which it is claimed.
    pub not_before: Option<Timestamp>,
    /// When it expires if it still waits; once it has succeeded, when its result expires.
    pub expires_at: Option<Timestamp>,
    /// Why it failed, was quarantined, or was last tried again.
    pub error: Option<JobFailure>,
    /// Its result, while that is kept.
    pub result: Option<ResultRecord>,
    /// The job that computed the result, if it is that of identical work.
    pub computed_by: Option<JobId>,
    /// Length of the body, in bytes.
    pub body_bytes: u64,
    /// Trace context of the submission.
    pub traceparent: Option<String>,
    /// Scheme, host and port of the URL that is told about the end of the job.
    pub callback: Option<String>,
    /// Whether cancellation was requested.
    pub cancel_requested: bool,
}

/// Why a job failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JobFailure {
    /// Identifies the reason for programs.
    pub code: String,
    /// The reason, for the client.
    pub message: String,
}

/// What is known about a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultRecord {
    /// Digest of its bytes.
    pub digest: ResultDigest,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its media type.
    pub media_type: Option<String>,
}

/// The result of a job.
pub struct JobResult {
    /// Its media type.
    pub media_type: Option<String>,
    /// Digest of its bytes.
    pub digest: ResultDigest,
    /// The bytes.
    pub bytes: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for JobResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobResult").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// Which jobs are listed: those that match every field that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Who they belong to.
    pub tenant: Option<Tenant>,
    /// Where they are in their life.
    pub state: Option<State>,
    /// Name of their service.
    pub service: Option<String>,
    /// Their circuit.
    pub circuit: Option<String>,
}

/// A page of a list.
#[derive(Clone, Debug, Serialize)]
pub struct JobPage {
    /// The jobs, newest first.
    pub jobs: Vec<JobRecord>,
    /// Where the next page begins. `None` on the last page.
    pub next: Option<Cursor>,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Leases that ended.
    pub leases: u64,
    /// Waiting jobs that expired.
    pub waiting: u64,
    /// Results that expired.
    pub results: u64,
    /// Records that were forgotten.
    pub tombstones: u64,
    /// Deliveries that were forgotten.
    pub deliveries: u64,
    /// Files that nothing named.
    pub files: u64,
}

/// Counts of jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct JobStats {
    /// Jobs by state.
    pub states: StateCounts,
    /// Bytes of the bodies of waiting jobs.
    pub queued_bytes: u64,
    /// How long the oldest waiting job has waited.
    pub oldest_waiting: Option<Duration>,
    /// Tenants that have jobs waiting.
    pub tenants: BTreeMap<Tenant, TenantStats>,
}

/// Jobs by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct StateCounts(pub(super) [u64; State::ALL.len()]);

impl StateCounts {
    /// Number of jobs in a state.
    #[must_use]
    pub const fn of(&self, state: State) -> u64 {
        self.0[state as usize]
    }
}

/// Counts of a tenant's jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TenantStats {
    /// Jobs that wait.
    pub queued: u64,
    /// Bytes of their bodies.
    pub queued_bytes: u64,
}
