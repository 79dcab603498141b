//! Durable jobs: calls that outlive their connection.
//!
//! A job is executed at least once, and has exactly one visible result: the first that is stored.
//!
//! | file | what it defines |
//! |---|---|
//! | `ids` | identifiers, and the values that a job is looked up and ordered by |
//! | `timestamp` | times of the wall clock |
//! | `callback` | URLs that are told about the ends of jobs |
//! | `delivery` | whether they were told |
//! | `job` | what is submitted and claimed, and how an attempt ends |
//! | `record` | what is recorded, listed and counted |
//! | `limits` | every bound of an engine |
//! | `error` | why an operation is refused |
//! | `clock` | the two clocks, injected |
//! | `seal` | encryption of bodies and results |
//! | `key_file` | where the key of the seal comes from |
//! | `fairness` | which tenant's turn it is |
//! | `watchers` | who is told about changes |
//! | `sqlite/` | the engine on one machine |
//!
//! Invariant: nothing above [`JobEngine`] knows which engine it uses, and no engine knows HTTP.

mod callback;
mod clock;
mod delivery;
mod error;
mod fairness;
mod ids;
mod job;
mod key_file;
mod limits;
mod record;
mod seal;
mod sqlite;
mod timestamp;
mod watchers;

pub use crate::ids::{InvalidValue, Tenant};
pub use callback::{Callback, CallbackHost, CallbackScheme, InvalidCallback};
pub use clock::{JobClock, ManualClock, SystemClock};
pub use delivery::{
    ClaimedDelivery, Deliveries, DeliveryClaim, DeliveryCounts, DeliveryFilter, DeliveryOutcome,
    DeliveryPage, DeliveryRecord, DeliveryState, JobEnd,
};
pub use error::{Bound, JobError, KeyFileError, StorageFault};
pub use ids::{Cursor, IdempotencyKey, JobId, Lease, Priority, ResultDigest};
pub use job::{CANCELLED, Claimed, Identical, InputKind, NewJob, Outcome, Renewal, Stored, Submitted};
pub use key_file::load_key;
pub use limits::{JobLimits, TenantLimits};
pub use record::{
    ImageChoice, JobFailure, JobFilter, JobPage, JobRecord, JobResult, JobStats, ResultRecord, State,
    StateCounts, Swept, TenantStats,
};
pub use seal::SealingKey;
pub use sqlite::SqliteJobs;
pub(crate) use sqlite::network_file_system;
pub use timestamp::Timestamp;

use futures_util::future::BoxFuture;
use std::{sync::Arc, time::Duration};
use tokio::sync::{Notify, watch};

/// Keeps jobs, and hands them to those who run them.
///
/// All operations that change a job resolve once the change is durable. A future that is dropped early may or may not
/// have had its effect, except that jobs of a dropped `claim` are given back.
pub trait JobEngine: Deliveries {
    /// Stores jobs, all or none. Resolves once they are durable.
    ///
    /// # Errors
    /// Returns an error if a bound would be exceeded, if an idempotency key was used for another job, or if the jobs
    /// cannot be stored.
    fn submit(&self, jobs: Vec<NewJob>) -> BoxFuture<'_, Result<Vec<Submitted>, JobError>>;

    /// Claims at most `limit` jobs of the services that the caller can run. Returns fewer, or none, if fewer wait.
    ///
    /// # Errors
    /// Returns an error if the claims cannot be stored.
    fn claim(&self, can_run: &[String], limit: usize) -> BoxFuture<'_, Result<Vec<Claimed>, JobError>>;

    /// Extends a lease by [`JobLimits::lease`] from now.
    ///
    /// # Errors
    /// Returns an error if the engine is closed.
    fn renew(&self, lease: &Lease) -> BoxFuture<'_, Result<Renewal, JobError>>;

    /// Stores the outcome of a claimed job, unless another was stored first or the lease was lost. A failure with the
    /// code `cancelled` cancels a job whose cancellation was requested.
    ///
    /// # Errors
    /// Returns an error if the outcome cannot be stored. The job is then run again; this does not count as an attempt.
    fn finish(&self, lease: Lease, outcome: Outcome) -> BoxFuture<'_, Result<Stored, JobError>>;

    /// Ends a claimed job with the newest result that identical work had on the image with this digest, if it is still kept
    /// and was stored as one that [may be shared](Identical::MayShare). The attempt does not count. Returns the job that
    /// computed the result, or `None` if there is no such result or the lease was lost.
    ///
    /// Inputs of a circuit are never identical: what calculates their witness is part of no image.
    ///
    /// # Errors
    /// Returns an error if jobs cannot be read, or this cannot be stored. The lease is still held then.
    fn share(&self, lease: &Lease, image: &str) -> BoxFuture<'_, Result<Option<JobId>, JobError>>;

    /// Returns a claimed job to the queue without counting the attempt. Does nothing if the lease was lost.
    ///
    /// # Errors
    /// Returns an error if this cannot be stored.
    fn give_back(&self, lease: Lease) -> BoxFuture<'_, Result<(), JobError>>;

    /// Cancels a job of a tenant, or of any tenant if `tenant` is `None`. A waiting job is cancelled at once; the holder
    /// of a claimed one is told when it renews its lease. A job that has ended stays as it is.
    ///
    /// # Errors
    /// Returns an error if the job is unknown or another tenant's, or if this cannot be stored.
    fn cancel(&self, tenant: Option<&Tenant>, id: JobId) -> BoxFuture<'_, Result<JobRecord, JobError>>;

    /// Returns the record of a job of a tenant, or of any tenant if `tenant` is `None`.
    ///
    /// # Errors
    /// Returns an error if the job is unknown or another tenant's, or cannot be read.
    fn get(&self, tenant: Option<&Tenant>, id: JobId) -> BoxFuture<'_, Result<JobRecord, JobError>>;

    /// Returns the result of a job of a tenant, or of any tenant if `tenant` is `None`.
    ///
    /// # Errors
    /// Returns an error if the job is unknown or another tenant's, has not ended, or ended without a result that is
    /// still kept.
    fn result(&self, tenant: Option<&Tenant>, id: JobId) -> BoxFuture<'_, Result<JobResult, JobError>>;

    /// Lists jobs, newest first, beginning after the cursor. A page has at most 1,000 jobs, and fewer than asked for if
    /// few of those that it looked at fit the filter. Jobs that are submitted meanwhile do not shift later pages.
    ///
    /// # Errors
    /// Returns an error if jobs cannot be read.
    fn list(
        &self,
        filter: JobFilter,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> BoxFuture<'_, Result<JobPage, JobError>>;

    /// Returns a receiver whose value changes whenever the job's record changes. That of an unknown job never changes.
    fn watch(&self, id: JobId) -> watch::Receiver<u64>;

    /// Returns what is notified when a job may have become claimable. It keeps one permit while nobody waits.
    fn work(&self) -> Arc<Notify>;

    /// Returns the time until [`sweep`](Self::sweep) has something to do or a delayed job becomes claimable, if nothing
    /// else happens before. `None` if time alone changes nothing.
    fn next_due(&self) -> BoxFuture<'_, Option<Duration>>;

    /// Expires leases, waiting jobs and results, forgets tombstones, makes delayed jobs claimable and deletes files that
    /// nothing names.
    ///
    /// # Errors
    /// Returns an error if this cannot be stored.
    fn sweep(&self) -> BoxFuture<'_, Result<Swept, JobError>>;

    /// Counts jobs.
    ///
    /// # Errors
    /// Returns an error if jobs cannot be read.
    fn stats(&self) -> BoxFuture<'_, Result<JobStats, JobError>>;

    /// Ends the engine: what was asked before is done, what is asked later is refused with [`JobError::Closed`]. The
    /// directory is free once this resolves.
    fn close(&self) -> BoxFuture<'_, ()>;
}
