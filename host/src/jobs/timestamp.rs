//! Times of the wall clock.
//!
//! Invariant: a time fits into 48 bits, so that it can be stored and be part of an identifier.

use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A time of the wall clock, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "u64", into = "u64")]
pub struct Timestamp(u64);

impl Timestamp {
    /// Latest time that can be stored: 48 bits, as in a UUID, which is the year 10889.
    const MAX: u64 = (1 << 48) - 1;

    /// A time in milliseconds since the Unix epoch. Times after the year 10889 become that year.
    #[must_use]
    pub fn from_millis(ms: u64) -> Self {
        Self(ms.min(Self::MAX))
    }

    /// The time of the system's clock.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::default().after(since)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The time that is this much later.
    #[must_use]
    pub fn after(self, pause: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(u64::try_from(pause.as_millis()).unwrap_or(Self::MAX)))
    }

    /// The time from `earlier` to this one. Zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl From<u64> for Timestamp {
    fn from(ms: u64) -> Self {
        Self::from_millis(ms)
    }
}

impl From<Timestamp> for u64 {
    fn from(time: Timestamp) -> Self {
        time.0
    }
}
