//! How often a tenant's turn comes, relative to others.
//!
//! Invariant: a weight is at least 1 and at most [`Weight::MAX`], so that no tenant starves another.

use serde::{Deserialize, Serialize};
use std::str::FromStr;
use thiserror::Error;

/// Share of the running time of jobs, relative to the other tenants that have jobs waiting; 1 unless it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u32", try_from = "u32")]
pub struct Weight(u32);

/// A number that is no weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a weight is a whole number from 1 to {}", Weight::MAX)]
pub struct NotAWeight;

impl Weight {
    /// The largest weight.
    pub const MAX: u32 = 1000;
}

impl TryFrom<u32> for Weight {
    type Error = NotAWeight;

    fn try_from(number: u32) -> Result<Self, NotAWeight> {
        if (1..=Self::MAX).contains(&number) { Ok(Self(number)) } else { Err(NotAWeight) }
    }
}

impl From<Weight> for u32 {
    fn from(weight: Weight) -> Self {
        weight.0
    }
}

impl FromStr for Weight {
    type Err = NotAWeight;

    fn from_str(text: &str) -> Result<Self, NotAWeight> {
        text.parse::<u32>().map_err(|_| NotAWeight)?.try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_from_one_to_a_thousand() {
        assert_eq!(["1", "1000"].map(|text| text.parse::<Weight>().map(u32::from)), [Ok(1), Ok(1000)]);
        for text in ["0", "1001", "-1", "1.5", "", "4294967297"] {
            assert_eq!(text.parse::<Weight>(), Err(NotAWeight), "{text:?}");
        }
        assert!(serde_json::from_str::<Weight>("0").is_err());
    }
}
