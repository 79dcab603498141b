//! What ends by the monotonic clock: leases, and pauses before retries. They are kept in memory only.
//!
//! Invariant: every job that the database has as claimed has a lease here, except for the moment between a commit and
//! its effects. A lease that is being lost cannot be renewed.

use crate::jobs::{JobId, Lease, Renewal};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Leases and pauses.
#[derive(Default)]
pub(super) struct Deadlines {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    leases: HashMap<JobId, Held>,
    /// No lease ends before this.
    earliest: Duration,
    /// Pauses: when they end, and the number of the job.
    pauses: BTreeSet<(Duration, i64)>,
}

struct Held {
    nonce: u64,
    until: Duration,
    is_cancelled: bool,
    end: LeaseEnd,
}

/// Why a lease ends, if nothing else happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeaseEnd {
    /// It was not renewed in time: its holder is taken for dead.
    Lost,
    /// It could not be stored that the holder gave it back, or the holder never learned of it. This does not count as an
    /// attempt.
    Abandoned,
    /// The outcome could not be stored. The job is tried again after a pause, a limited number of times.
    Unstored,
}

/// A lease that ended.
pub(super) struct Ended {
    pub(super) job: JobId,
    pub(super) nonce: u64,
    pub(super) end: LeaseEnd,
}

impl Deadlines {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a lease that ends at `until`.
    pub(super) fn grant(&self, job: JobId, nonce: u64, until: Duration) {
        let mut inner = self.lock();
        inner.earliest = inner.earliest.min(until);
        inner.leases.insert(job, Held { nonce, until, is_cancelled: false, end: LeaseEnd::Lost });
    }

    /// Extends a lease. One whose time is up is extended too, as long as nobody took notice.
    pub(super) fn renew(&self, lease: &Lease, until: Duration) -> Renewal {
        let mut inner = self.lock();
        match inner.leases.get_mut(&lease.job) {
            Some(held) if held.nonce == lease.nonce && held.until > Duration::ZERO => {
                held.until = until;
                if held.is_cancelled { Renewal::Cancelled } else { Renewal::Held }
            }
            _ => Renewal::Lost,
        }
    }

    /// Makes the holder of a job learn of its cancellation.
    pub(super) fn cancel(&self, job: JobId) {
        if let Some(held) = self.lock().leases.get_mut(&job) {
            held.is_cancelled = true;
        }
    }

    /// Ends a lease with the next look at the clock, for this reason.
    pub(super) fn abandon(&self, job: JobId, nonce: u64, end: LeaseEnd) {
        let mut inner = self.lock();
        if let Some(held) = inner.leases.get_mut(&job).filter(|held| held.nonce == nonce) {
            (held.until, held.end) = (Duration::ZERO, end);
            inner.earliest = Duration::ZERO;
        }
    }

    /// Removes a lease.
    pub(super) fn end(&self, job: JobId, nonce: u64) {
        let mut inner = self.lock();
        if inner.leases.get(&job).is_some_and(|held| held.nonce == nonce) {
            inner.leases.remove(&job);
        }
    }

    /// The leases whose time is up. They stay until [`end`](Self::end) removes them, but cannot be renewed any more.
    pub(super) fn ended(&self, now: Duration) -> Vec<Ended> {
        let mut inner = self.lock();
        if inner.earliest > now {
            return Vec::new();
        }
        let mut earliest = Duration::MAX;
        let mut ended = Vec::new();
        for (job, held) in &mut inner.leases {
            if held.until <= now {
                held.until = Duration::ZERO;
                ended.push(Ended { job: *job, nonce: held.nonce, end: held.end });
            }
            earliest = earliest.min(held.until);
        }
        inner.earliest = earliest;
        ended
    }

    /// All leases.
    pub(super) fn held(&self) -> Vec<(JobId, u64)> {
        self.lock().leases.iter().map(|(job, held)| (*job, held.nonce)).collect()
    }

    /// Adds a pause of the job with this number.
    pub(super) fn pause(&self, until: Duration, seq: i64) {
        self.lock().pauses.insert((until, seq));
    }

    /// Removes a pause.
    pub(super) fn end_pause(&self, until: Duration, seq: i64) {
        self.lock().pauses.remove(&(until, seq));
    }

    /// The pauses that are over. They stay until [`end_pause`](Self::end_pause) removes them.
    pub(super) fn ended_pauses(&self, now: Duration) -> Vec<(Duration, i64)> {
        self.lock().pauses.range(..=(now, i64::MAX)).copied().collect()
    }

    /// When the next lease or pause ends.
    pub(super) fn next(&self) -> Option<Duration> {
        let inner = self.lock();
        let lease = inner.leases.values().map(|held| held.until).min();
        let pause = inner.pauses.first().map(|(until, _)| *until);
        lease.into_iter().chain(pause).min()
    }
}
