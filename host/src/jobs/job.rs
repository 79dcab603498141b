//! What is submitted and claimed, and how an attempt ends.
//!
//! Invariant: no `Debug` output shows a body, a result or an idempotency key.

use super::{Callback, IdempotencyKey, ImageChoice, JobRecord, Lease, Priority, Tenant, Timestamp};
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};
use zeroize::Zeroizing;

/// A job to be submitted.
#[derive(Clone)]
pub struct NewJob {
    /// Who the job belongs to.
    pub tenant: Tenant,
    /// Name of the service that runs it.
    pub service: String,
    /// Method of the service.
    pub method: String,
    /// Circuit that the method is called for.
    pub circuit: Option<String>,
    /// Image that the job runs on.
    pub image: ImageChoice,
    /// The request.
    pub body: Zeroizing<Vec<u8>>,
    /// What the body is.
    pub kind: InputKind,
    /// Options of the method, as the query of a URL.
    pub options: Option<String>,
    /// Media type of the body.
    pub media_type: Option<String>,
    /// Precedence among the jobs of the tenant.
    pub priority: Priority,
    /// Earliest time at which the job is claimed.
    pub not_before: Option<Timestamp>,
    /// When the job expires if it still waits. Without it, after [`JobLimits::waiting_ttl`](super::JobLimits).
    pub expires_at: Option<Timestamp>,
    /// What makes a repeated submission the same job.
    pub idempotency_key: Option<IdempotencyKey>,
    /// URL that is told about the end of the job.
    pub callback: Option<Callback>,
    /// Trace context of the submission. The engine only keeps it.
    pub traceparent: Option<String>,
    /// Expected running time. It decides the tenant's share, and which jobs are small.
    pub estimate: Option<Duration>,
}

impl fmt::Debug for NewJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("NewJob");
        debug.field("tenant", &self.tenant).field("service", &self.service).field("method", &self.method);
        debug.field("body_bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// What the body of a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputKind {
    /// The request of the method, as it is.
    Raw,
    /// Inputs of a circuit, from which a witness is calculated first.
    Inputs,
}

/// What became of one submission.
#[derive(Clone, Debug)]
pub enum Submitted {
    /// The job is new.
    New(JobRecord),
    /// The idempotency key was used before, for the same job.
    Existing(JobRecord),
}

impl Submitted {
    /// The record of the job, new or not.
    #[must_use]
    pub const fn record(&self) -> &JobRecord {
        match self {
            Self::New(record) | Self::Existing(record) => record,
        }
    }
}

/// A job that the caller runs.
pub struct Claimed {
    /// The right to run it.
    pub lease: Lease,
    /// Its record, after the claim.
    pub job: JobRecord,
    /// The request.
    pub body: Zeroizing<Vec<u8>>,
    /// What the body is.
    pub kind: InputKind,
    /// Options of the method, as the query of a URL.
    pub options: Option<String>,
    /// Media type of the body.
    pub media_type: Option<String>,
    /// Expected running time, as it was submitted.
    pub estimate: Option<Duration>,
    /// Earlier attempts that ended with the death of their process or the loss of their lease.
    pub losses: u32,
}

impl fmt::Debug for Claimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claimed").field("lease", &self.lease).field("job", &self.job).finish_non_exhaustive()
    }
}

/// Whether a result is that of identical work too: of another job of the tenant with the same service, method, circuit,
/// options, media type and body, on the same image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identical {
    /// It is.
    MayShare,
    /// It is not: each job computes its own, as proofs have to.
    Differs,
}

/// The code of a failure that cancels a job whose cancellation was requested.
pub const CANCELLED: &str = "cancelled";

/// How an attempt ended.
pub enum Outcome {
    /// The method replied.
    Succeeded {
        /// The result.
        bytes: Zeroizing<Vec<u8>>,
        /// Its media type.
        media_type: Option<String>,
        /// Digest of the image that it was computed with.
        image: String,
        /// Whether identical work may have it too.
        identical: Identical,
    },
    /// The method refused the job. It is not tried again.
    Failed {
        /// Identifies the reason for programs.
        code: String,
        /// The reason, for the client.
        message: String,
        /// Digest of the image that was used.
        image: Option<String>,
    },
    /// The attempt failed for a reason that may pass. The job is tried again later.
    Retry {
        /// Identifies the reason for programs.
        code: String,
        /// The reason, for the client, if this was the last retry.
        message: String,
    },
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Succeeded { bytes, .. } => {
                f.debug_struct("Succeeded").field("bytes", &bytes.len()).finish()
            }
            Self::Failed { code, .. } => f.debug_struct("Failed").field("code", code).finish(),
            Self::Retry { code, .. } => f.debug_struct("Retry").field("code", code).finish(),
        }
    }
}

/// Whether a lease was extended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// It was.
    Held,
    /// It was, but the job should be stopped: its cancellation was requested.
    Cancelled,
    /// The lease was lost, or the job has ended. Nothing that its former holder finishes is stored.
    Lost,
}

/// Whether an outcome was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It was: it is what every reader sees.
    Mine,
    /// It was not: the lease was lost, or the job has ended.
    Other,
}
