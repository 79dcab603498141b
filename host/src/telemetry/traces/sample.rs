//! Which traces that begin here are recorded.
//!
//! Invariant: the decision depends on the id of the trace alone, so that programs with the same share decide alike.

use super::context::TraceId;
use std::str::FromStr;

/// The whole, in the unit of shares.
const WHOLE: u32 = 1_000_000;
/// Bits of an id that are random, whoever made it. Source: W3C Trace Context, Level 2, 3.2.2.3.
const RANDOM_BITS: u32 = 56;

/// Share of the traces that begin here which is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleShare {
    per_million: u32,
}

impl SampleShare {
    /// All of them.
    pub const ALL: Self = Self { per_million: WHOLE };

    /// Whether this trace is recorded.
    #[must_use]
    pub fn includes(self, trace: TraceId) -> bool {
        let mut last = [0; 8];
        last.copy_from_slice(&trace.as_bytes()[8..]);
        let random = u64::from_be_bytes(last) & ((1 << RANDOM_BITS) - 1);
        let bound = (u128::from(self.per_million) << RANDOM_BITS) / u128::from(WHOLE);
        u128::from(random) < bound
    }
}

impl FromStr for SampleShare {
    type Err = &'static str;

    /// Reads a share such as `5%` or `0.01%`.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        let accepted = "a share from 0% to 100%, such as 0.5%, with at most four decimals";
        let number = text.strip_suffix('%').unwrap_or(text);
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(decimals) || whole.len() > 3 || decimals.len() > 4 {
            return Err(accepted);
        }
        let whole: u32 = whole.parse().map_err(|_| accepted)?;
        let decimals: u32 = format!("{decimals:0<4}").parse().map_err(|_| accepted)?;
        let per_million = whole * 10_000 + decimals;
        if per_million > WHOLE { Err(accepted) } else { Ok(Self { per_million }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_and_nonsense_is_refused() {
        for (text, per_million) in
            [("100%", WHOLE), ("0%", 0), ("5", 50_000), ("0.5%", 5_000), ("0.0001%", 1), ("12.34%", 123_400)]
        {
            assert_eq!(text.parse(), Ok(SampleShare { per_million }), "{text}");
        }
        for text in ["", "%", "-1%", "101%", "100.0001%", "0.00001%", "1e1%", "1.%", ".5%", "1000%", "all"] {
            assert!(text.parse::<SampleShare>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_share_decides_by_the_random_part_of_the_id() {
        let trace = |last: u64| {
            let mut bytes = [0xff; 16];
            bytes[8..].copy_from_slice(&last.to_be_bytes());
            TraceId::from_bytes(bytes).expect("not zero")
        };
        let half: SampleShare = "50%".parse().expect("a share");
        let middle = 1 << (RANDOM_BITS - 1);
        // The first byte of the last eight is not random in every program, and does not count.
        for first in [0, 0xff << RANDOM_BITS] {
            assert!(half.includes(trace(first | (middle - 1))));
            assert!(!half.includes(trace(first | middle)));
        }
        let none: SampleShare = "0%".parse().expect("a share");
        for last in [0, middle, u64::MAX] {
            assert!(SampleShare::ALL.includes(trace(last)) && !none.includes(trace(last)));
        }
    }
}
