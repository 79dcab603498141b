//! Parts that the tests of the threshold policy share.

use super::{
    inside::{Host, policy},
    until,
};
use snapback_host::policy::{Percent, Policy, SwapPolicy};

/// One MiB. The memory limit is 64 MiB, and the fixtures start with a little over 5 MiB.
pub(crate) const MIB: usize = 1 << 20;

pub(crate) fn threshold() -> Policy {
    Policy { swap: SwapPolicy::Threshold, jitter: Percent::new(0), ..policy() }
}

pub(crate) fn leak(host: &Host, bytes: usize) {
    assert!(host.call("leak", bytes.to_string().as_bytes()).is_empty());
}

/// Waits until this many swaps have happened, and asserts that there are no more. Swaps happen after the reply.
pub(crate) fn swapped(host: &Host, reason: &str, count: f64) {
    until(reason, || host.swaps(reason) >= count);
    assert_eq!(host.swaps(reason), count, "{reason}");
}
