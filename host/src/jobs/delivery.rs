//! Deliveries: who has to be told about the end of a job, and whether that was done.
//!
//! A delivery is created in the transaction that ends a job with a callback, has the identifier of the job, and is due
//! at once. It ends as delivered or as a dead letter, and stays listed for a while.
//!
//! Invariant: what is listed of a delivery holds no part of its URL but the origin. What is claimed is handed to one
//! caller at a time; a claim that is not finished within its lease is due again.

use super::{Callback, Cursor, InvalidValue, JobError, JobFailure, JobId, State, Stored, Tenant, Timestamp};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, sync::Arc, time::Duration};
use tokio::sync::Notify;

/// The part of a job engine that keeps deliveries.
///
/// All operations that change a delivery resolve once the change is durable.
pub trait Deliveries: Send + Sync {
    /// Claims a delivery that is due, of an origin that is not among `busy`. Origins take turns.
    ///
    /// # Errors
    /// Returns an error if the claim cannot be stored.
    fn claim_delivery(&self, busy: Vec<String>) -> BoxFuture<'_, Result<Option<ClaimedDelivery>, JobError>>;

    /// Stores how an attempt ended, unless its lease was lost.
    ///
    /// # Errors
    /// Returns an error if this cannot be stored. The delivery is then due again when the lease ends.
    fn finish_delivery(
        &self,
        claim: DeliveryClaim,
        outcome: DeliveryOutcome,
    ) -> BoxFuture<'_, Result<Stored, JobError>>;

    /// Returns the delivery of a job of a tenant, or of any tenant if `tenant` is `None`.
    ///
    /// # Errors
    /// Returns an error if there is none, it is another tenant's, or it cannot be read.
    fn delivery(
        &self,
        tenant: Option<&Tenant>,
        job: JobId,
    ) -> BoxFuture<'_, Result<DeliveryRecord, JobError>>;

    /// Lists deliveries, newest first, beginning after the cursor. A page has at most 1,000.
    ///
    /// # Errors
    /// Returns an error if deliveries cannot be read.
    fn list_deliveries(
        &self,
        filter: DeliveryFilter,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> BoxFuture<'_, Result<DeliveryPage, JobError>>;

    /// Makes a delivery due now. One that has ended begins anew.
    ///
    /// # Errors
    /// Returns an error if there is none, it is another tenant's, too many wait, or this cannot be stored.
    fn resend(&self, tenant: Option<&Tenant>, job: JobId) -> BoxFuture<'_, Result<DeliveryRecord, JobError>>;

    /// Returns what is notified when a delivery may have become due. It keeps one permit while nobody waits.
    fn delivery_work(&self) -> Arc<Notify>;

    /// Returns the time until the first delivery is due that waits. `None` if none waits.
    fn next_delivery(&self) -> BoxFuture<'_, Option<Duration>>;

    /// Counts deliveries.
    fn delivery_counts(&self) -> DeliveryCounts;
}

/// Where a delivery is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// It is under way, or waits for its time.
    Waiting,
    /// A receiver has taken it.
    Delivered,
    /// It was given up.
    Dead,
}

impl DeliveryState {
    /// All states, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Delivered, Self::Dead];

    /// The name by which clients know the state.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }
}

impl fmt::Display for DeliveryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DeliveryState {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let known = Self::ALL.into_iter().find(|state| state.name() == text);
        known.ok_or(InvalidValue::new("a state of a delivery (waiting, delivered or dead)"))
    }
}

/// The right to make one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryClaim {
    pub(super) job: JobId,
    pub(super) attempt: u32,
}

impl DeliveryClaim {
    /// The job.
    #[must_use]
    pub const fn job(&self) -> JobId {
        self.job
    }

    /// Number of the attempt, counted from 1.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }
}

/// A delivery that the caller makes.
#[derive(Clone, Debug)]
pub struct ClaimedDelivery {
    /// The right to make it.
    pub claim: DeliveryClaim,
    /// Who the job belongs to.
    pub tenant: Tenant,
    /// Who is told.
    pub callback: Callback,
    /// When it was claimed.
    pub now: Timestamp,
    /// How long it has been tried by now.
    pub tried_for: Duration,
    /// Earlier attempts since it was created or sent again.
    pub tries: u32,
    /// What is told.
    pub end: JobEnd,
    /// Trace context of the job's submission, while the job is remembered.
    pub traceparent: Option<String>,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobEnd {
    /// The state in which it ended.
    pub state: State,
    /// When it ended.
    pub finished: Timestamp,
    /// Name of the service.
    pub service: String,
    /// Method of the service.
    pub method: String,
    /// Circuit that the method was called for.
    pub circuit: Option<String>,
    /// Digest of the image that was asked for or used.
    pub image: Option<String>,
    /// Why it failed.
    pub error: Option<JobFailure>,
}

/// How an attempt to deliver ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The receiver has taken it.
    Delivered,
    /// It failed, and is tried again.
    Retry {
        /// How much later.
        after: Duration,
        /// Why it failed.
        reason: String,
    },
    /// It is given up.
    Dead {
        /// Why.
        reason: String,
    },
    /// It was not made, and is due again at once.
    GivenBack,
}

/// What is known about a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeliveryRecord {
    /// The job that has ended.
    pub job: JobId,
    /// Who it belongs to.
    pub tenant: Tenant,
    /// The state in which the job ended.
    pub outcome: State,
    /// Scheme, host and port of the URL.
    pub origin: String,
    /// Where the delivery is in its life.
    pub state: DeliveryState,
    /// Attempts that were begun.
    pub attempts: u32,
    /// When the job ended.
    pub finished: Timestamp,
    /// When the next attempt is due, while it waits.
    pub next: Option<Timestamp>,
    /// Why the last attempt failed.
    pub reason: Option<String>,
}

/// Which deliveries are listed: those that match every field that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Who they belong to.
    pub tenant: Option<Tenant>,
    /// Where they are in their life.
    pub state: Option<DeliveryState>,
}

/// A page of a list.
#[derive(Clone, Debug, Serialize)]
pub struct DeliveryPage {
    /// The deliveries, newest first.
    pub deliveries: Vec<DeliveryRecord>,
    /// Where the next page begins. `None` on the last page.
    pub next: Option<Cursor>,
}

/// Deliveries by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryCounts(pub(super) [u64; DeliveryState::ALL.len()]);

impl DeliveryCounts {
    /// Number of deliveries in a state.
    #[must_use]
    pub const fn of(&self, state: DeliveryState) -> u64 {
        self.0[state as usize]
    }

    /// Number of deliveries in any state.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Counts `number` deliveries of a state.
    pub(super) fn add(&mut self, state: DeliveryState, number: u64) {
        self.0[state as usize] += number;
    }

    /// Uncounts a delivery of a state.
    pub(super) fn remove(&mut self, state: DeliveryState) {
        let count = &mut self.0[state as usize];
        *count = count.saturating_sub(1);
    }
}
