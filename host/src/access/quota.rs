//! What a tenant may use at once, and in a minute.
//!
//! Requests and bytes are counted by buckets that hold the share of one minute and fill evenly. The length of a body is
//! known only when it has arrived, so a request is admitted while the bucket of bytes holds anything, and its body is
//! charged afterwards, on credit if need be.
//!
//! Invariant: a request that is refused uses nothing up. One that ends leaves its place, and not before: what its client
//! began and left goes on in it.

use crate::{ids::Tenant, telemetry::metrics::Limit};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

const MINUTE: Duration = Duration::from_secs(60);

/// What a tenant may use; `None` is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Requests that call or change circuits at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent_max: Option<u64>,
    /// Such requests in a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_minute_max: Option<u64>,
    /// Bytes of their bodies in a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_minute_max: Option<u64>,
    /// Bytes of the files of circuits, and of the bodies of jobs that wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_bytes_max: Option<u64>,
}

impl Quota {
    /// Returns this quota, with what it leaves out taken from another.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        Self {
            concurrent_max: self.concurrent_max.or(other.concurrent_max),
            per_minute_max: self.per_minute_max.or(other.per_minute_max),
            bytes_per_minute_max: self.bytes_per_minute_max.or(other.bytes_per_minute_max),
            stored_bytes_max: self.stored_bytes_max.or(other.stored_bytes_max),
        }
    }
}

/// A part of a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaKind {
    /// [`Quota::concurrent_max`]
    Concurrent,
    /// [`Quota::per_minute_max`]
    PerMinute,
    /// [`Quota::bytes_per_minute_max`]
    BytesPerMinute,
    /// [`Quota::stored_bytes_max`]
    StoredBytes,
}

impl QuotaKind {
    /// The limit that a refusal is counted under.
    #[must_use]
    pub const fn limit(self) -> Limit {
        match self {
            Self::Concurrent => Limit::TenantConcurrent,
            Self::PerMinute => Limit::TenantPerMinute,
            Self::BytesPerMinute => Limit::TenantBytesPerMinute,
            Self::StoredBytes => Limit::TenantStoredBytes,
        }
    }
}

/// A part of a quota that is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// The part.
    pub kind: QuotaKind,
    /// What the tenant may use.
    pub max: u64,
    /// When it is worth to try again.
    pub retry_after: Duration,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let max = self.max;
        match self.kind {
            QuotaKind::Concurrent => write!(f, "this tenant may have {max} requests under way")?,
            QuotaKind::PerMinute => write!(f, "this tenant may send {max} requests a minute")?,
            QuotaKind::BytesPerMinute => write!(f, "this tenant may send {max} bytes a minute")?,
            QuotaKind::StoredBytes => write!(f, "this tenant may store {max} bytes")?,
        }
        write!(f, " ({}): the operator can raise it with `snapback tenants set`", self.kind.limit())
    }
}

/// What each tenant uses.
#[derive(Default)]
pub(super) struct Meters(Mutex<HashMap<Tenant, Arc<Meter>>>);

impl Meters {
    /// The meter of a tenant. There is one for each tenant that ever had a key while the server ran.
    pub(super) fn of(&self, tenant: &Tenant) -> Arc<Meter> {
        let mut meters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match meters.get(tenant) {
            Some(meter) => Arc::clone(meter),
            None => Arc::clone(meters.entry(tenant.clone()).or_default()),
        }
    }
}

/// What one tenant uses.
#[derive(Default)]
pub(super) struct Meter(Mutex<Used>);

#[derive(Default)]
struct Used {
    running: u64,
    requests: Bucket,
    bytes: Bucket,
}

/// What is left of a minute's share.
#[derive(Default)]
pub(super) struct Bucket {
    /// Zero or less is nothing.
    left: f64,
    filled: Option<Instant>,
}

impl Bucket {
    /// Takes one, if the bucket holds that after it was filled evenly with `max` a minute.
    pub(super) fn take(&mut self, max: u64, now: Instant) -> Result<(), Duration> {
        self.fill(max, 1.0, now)?;
        self.left -= 1.0;
        Ok(())
    }

    /// Fills the bucket evenly with `max` a minute, and says how long it takes until it holds `least`.
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
    fn fill(&mut self, max: u64, least: f64, now: Instant) -> Result<(), Duration> {
        let max = max as f64;
        let rate = max / MINUTE.as_secs_f64();
        self.left = match self.filled {
            None => max,
            Some(filled) => (self.left + now.saturating_duration_since(filled).as_secs_f64() * rate).min(max),
        };
        self.filled = Some(now);
        let missing = least - self.left;
        if missing <= 0.0 {
            Ok(())
        } else {
            Err(Duration::from_secs_f64((missing / rate).min(MINUTE.as_secs_f64())))
        }
    }
}

impl Meter {
    fn used(&self) -> MutexGuard<'_, Used> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn admit(self: Arc<Self>, quota: &Quota, now: Instant) -> Result<Admission, Exceeded> {
        let mut used = self.used();
        let exceeded = |kind, max, retry_after| Err(Exceeded { kind, max, retry_after });
        if let Some(max) = quota.concurrent_max.filter(|max| used.running >= *max) {
            return exceeded(QuotaKind::Concurrent, max, Duration::from_secs(1));
        }
        if let Some(max) = quota.bytes_per_minute_max
            && let Err(after) = used.bytes.fill(max, 1.0, now)
        {
            return exceeded(QuotaKind::BytesPerMinute, max, after);
        }
        if let Some(max) = quota.per_minute_max
            && let Err(after) = used.requests.take(max, now)
        {
            return exceeded(QuotaKind::PerMinute, max, after);
        }
        used.running += 1;
        drop(used);
        Ok(Admission(self))
    }
}

/// The place of one request within the quota of its tenant.
pub struct Admission(Arc<Meter>);

/// What the bytes of a request are charged to. They may arrive after the request has left its place.
#[derive(Clone)]
pub struct Account(Arc<Meter>);

impl Account {
    /// Charges bytes of the request's body.
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
    pub fn charge(&self, bytes: u64) {
        self.0.used().bytes.left -= bytes as f64;
    }
}

impl Admission {
    /// What the bytes of the request are charged to.
    #[must_use]
    pub fn account(&self) -> Account {
        Account(Arc::clone(&self.0))
    }

    /// Charges requests that come in one, on credit if need be.
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
    pub fn charge_requests(&self, requests: usize) {
        self.0.used().requests.left -= requests as f64;
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.used().running -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter() -> Arc<Meter> {
        Meters::default().of(&Tenant::local())
    }

    fn refusal(meter: &Arc<Meter>, quota: &Quota, now: Instant) -> Exceeded {
        Arc::clone(meter).admit(quota, now).err().expect("the quota is used up")
    }

    #[test]
    fn requests_at_once_leave_their_places() {
        let (meter, now) = (meter(), Instant::now());
        let quota = Quota { concurrent_max: Some(2), ..Quota::default() };
        let first = Arc::clone(&meter).admit(&quota, now);
        let second = Arc::clone(&meter).admit(&quota, now);
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(refusal(&meter, &quota, now).kind, QuotaKind::Concurrent);
        drop(first);
        assert!(Arc::clone(&meter).admit(&quota, now).is_ok());
    }

    #[test]
    fn requests_of_a_minute_come_back_evenly() {
        let (meter, now) = (meter(), Instant::now());
        let quota = Quota { per_minute_max: Some(60), ..Quota::default() };
        for _ in 0..60 {
            Arc::clone(&meter).admit(&quota, now).map(drop).expect("within the quota");
        }
        let exceeded = refusal(&meter, &quota, now);
        assert_eq!((exceeded.kind, exceeded.retry_after), (QuotaKind::PerMinute, Duration::from_secs(1)));
        let later = now + Duration::from_secs(2);
        for _ in 0..2 {
            Arc::clone(&meter).admit(&quota, later).map(drop).expect("two came back");
        }
        assert_eq!(refusal(&meter, &quota, later).kind, QuotaKind::PerMinute);
    }

    #[test]
    fn a_body_is_charged_on_credit() {
        let (meter, now) = (meter(), Instant::now());
        let quota = Quota { bytes_per_minute_max: Some(600), ..Quota::default() };
        let admission = Arc::clone(&meter).admit(&quota, now).expect("nothing was sent yet");
        let account = admission.account();
        drop(admission);
        account.charge(900);
        let exceeded = refusal(&meter, &quota, now);
        assert_eq!(exceeded.kind, QuotaKind::BytesPerMinute);
        assert!(exceeded.retry_after >= Duration::from_secs(30), "{exceeded:?}");
        assert!(Arc::clone(&meter).admit(&quota, now + Duration::from_secs(31)).is_ok());
    }

    #[test]
    fn a_quota_of_a_tenant_goes_before_that_of_all() {
        let all = Quota { concurrent_max: Some(1), per_minute_max: Some(2), ..Quota::default() };
        let own = Quota { concurrent_max: Some(9), ..Quota::default() }.or(&all);
        assert_eq!((own.concurrent_max, own.per_minute_max), (Some(9), Some(2)));
    }
}
