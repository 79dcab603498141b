//! How full memory is.

use super::percent::Percent;
use serde::Serialize;

/// How full memory is, against the two thresholds of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pressure {
    /// Below the warn threshold.
    Calm,
    /// At or above the warn threshold: a standby is wanted.
    Warn,
    /// At or above the critical threshold: a swap is wanted.
    Critical,
}

impl Pressure {
    /// Returns the pressure of `used_bytes` out of `limit_bytes`.
    #[must_use]
    pub fn of(used_bytes: u64, limit_bytes: u64, warn: Percent, critical: Percent) -> Self {
        // A share of a very small limit rounds down to zero, which every use would reach.
        if used_bytes >= critical.of(limit_bytes).max(1) {
            Self::Critical
        } else if used_bytes >= warn.of(limit_bytes).max(1) {
            Self::Warn
        } else {
            Self::Calm
        }
    }

    /// Name of the pressure in events, health reports and metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Warn => "warn",
            Self::Critical => "critical",
        }
    }
}
