//! Why an operation on jobs is refused or fails.
//!
//! Invariant: no message contains a body, a result, an idempotency key or a sealing key.

use super::State;
use std::{fmt, path::PathBuf, time::Duration};

/// Why an operation on jobs is refused or fails.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JobError {
    /// There is no such job, or it belongs to another tenant.
    #[error("there is no such job")]
    NotFound,
    /// The job has not ended.
    #[error("the job has not ended: it is {0}")]
    NotFinished(State),
    /// The job ended, and has no result that is still kept.
    #[error("the job has no result: it is {0}")]
    Gone(State),
    /// A bound of the engine would be exceeded.
    #[error("{which} would be exceeded")]
    Full {
        /// The bound.
        which: Bound,
    },
    /// The idempotency key was used for a job with another body, method, circuit or options.
    #[error("the idempotency key was used for another job")]
    IdempotencyMismatch,
    /// A text of the job is longer than the engine stores.
    #[error("`{what}` of the job is longer than {bytes_max} bytes")]
    TextTooLong {
        /// The field.
        what: &'static str,
        /// Its longest length.
        bytes_max: usize,
    },
    /// The job would begin or expire too late.
    #[error("a job begins and expires within {} s (`jobs.delay_max`)", .0.as_secs())]
    TooLate(Duration),
    /// The engine was closed.
    #[error("the job engine is closed")]
    Closed,
    /// Another process has the directory.
    #[error("another process has the jobs in {}: give this one a state directory of its own", .0.display())]
    Locked(PathBuf),
    /// The directory is on a file system on which SQLite is not safe.
    #[error("{} is on a network file system ({kind}), on which jobs are not durable: use a local disk", path.display())]
    NetworkFileSystem {
        /// The directory.
        path: PathBuf,
        /// The kind of file system.
        kind: &'static str,
    },
    /// The database is damaged, or is not a database of jobs.
    #[error("{} cannot be used: {reason}. Restore it from a backup together with `bodies`, or move both away to begin without jobs", path.display())]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Files of jobs are there, and no database that names them.
    #[error("{} is missing, but its directory has files of jobs: restore it, or move them away to begin without jobs", .0.display())]
    MissingDatabase(PathBuf),
    /// The database was written by another version.
    #[error("{} has format {found}, and this version reads format {expected} only", path.display())]
    UnknownVersion {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The format that can be read.
        expected: i64,
    },
    /// The database was sealed with another key.
    #[error("the jobs in {} were sealed with another key", .0.display())]
    WrongKey(PathBuf),
    /// The file of the sealing key cannot be used.
    #[error("the sealing key {0}")]
    KeyFile(#[from] KeyFileError),
    /// A body or a result is not what was stored.
    #[error("the {what} of the job is gone, or is not what was stored")]
    Damaged {
        /// `body` or `result`.
        what: &'static str,
    },
    /// The library of SQLite is too old to be safe.
    #[error("SQLite is of version {found}, and 3.51.3 or later is needed")]
    OldSqlite {
        /// Its version.
        found: &'static str,
    },
    /// The disk does not take or give what it should. Nothing was changed, and the engine goes on.
    #[error("jobs cannot be stored or read: {fault}: {reason}")]
    Storage {
        /// The kind of fault.
        fault: StorageFault,
        /// What the operating system or SQLite says.
        reason: String,
    },
}

/// Why the file of a key cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{} cannot be used: {reason}", path.display())]
pub struct KeyFileError {
    /// The file.
    pub path: PathBuf,
    /// Why not.
    pub reason: String,
}

/// Kinds of faults of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageFault {
    /// There is no space left.
    DiskFull,
    /// Reading or writing failed.
    Io,
    /// SQLite refused a statement.
    Database,
}

impl fmt::Display for StorageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DiskFull => "the disk is full",
            Self::Io => "reading or writing failed",
            Self::Database => "the database failed",
        })
    }
}

/// Bounds of an engine. Each is a field of [`JobLimits`](super::JobLimits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Waiting jobs of all tenants.
    Queued,
    /// Bytes of the bodies of waiting jobs of all tenants.
    QueuedBytes,
    /// Waiting jobs of the tenant.
    TenantQueued,
    /// Bytes of the bodies of waiting jobs of the tenant.
    TenantQueuedBytes,
    /// Bytes of one body.
    BodyBytes,
    /// Jobs of one submission.
    Batch,
    /// Jobs in any state.
    Remembered,
    /// Bytes of the results that are kept.
    ResultBytes,
    /// Jobs of the tenant in any state.
    TenantRemembered,
    /// Bytes of the results of the tenant that are kept.
    TenantResultBytes,
    /// Deliveries that wait.
    Deliveries,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queued => "the number of waiting jobs (`jobs.waiting_max`)",
            Self::QueuedBytes => "the size of waiting jobs (`jobs.waiting_bytes_max`)",
            Self::TenantQueued => "the tenant's number of waiting jobs (`tenant_queued_max`)",
            Self::TenantQueuedBytes => "the tenant's size of waiting jobs (`tenant_queued_bytes_max`)",
            Self::BodyBytes => "the size of a body (`http.body_bytes_max`)",
            Self::Batch => "the number of jobs in a batch (`jobs.batch_max`)",
            Self::Remembered => "the number of jobs that are remembered (`jobs.remembered_max`)",
            Self::ResultBytes => "the size of results that are kept (`jobs.kept_bytes_max`)",
            Self::TenantRemembered => {
                "the tenant's number of jobs that are remembered (its share of `jobs.remembered_max`)"
            }
            Self::TenantResultBytes => {
                "the tenant's size of results that are kept (its share of `jobs.kept_bytes_max`)"
            }
            Self::Deliveries => "the number of webhooks that wait (`webhooks.waiting_max`)",
        })
    }
}

impl From<std::io::Error> for JobError {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let fault = match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => StorageFault::DiskFull,
            _ => StorageFault::Io,
        };
        Self::Storage { fault, reason: error.to_string() }
    }
}
