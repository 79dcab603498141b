//! Which calls of a gradual rollout are served under the configured policy.
//!
//! Invariant: of any hundred consecutive calls of a lane, `swap.share` are chosen, spread evenly; the choice is
//! deterministic.

use super::{
    image_policy::{Policy, SwapPolicy},
    percent::Percent,
};

/// Whether the configured policy applies to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rollout {
    /// It does.
    Chosen,
    /// It does not: the call is served as with `off`.
    LeftOut,
}

impl Rollout {
    /// The swap policy of such a call, under the policy that holds now.
    pub(crate) fn swap_policy(self, policy: &Policy) -> SwapPolicy {
        match self {
            Self::Chosen => policy.swap,
            Self::LeftOut => SwapPolicy::Off,
        }
    }
}

/// Chooses calls, one after another.
#[derive(Default)]
pub(crate) struct ShareCounter {
    /// Hundredths that have accumulated since the last chosen call.
    accumulated: u8,
}

impl ShareCounter {
    /// Whether the policy applies to the next call, given the share that is configured now.
    pub(crate) fn next(&mut self, share: Percent) -> Rollout {
        self.accumulated += share.hundredths();
        if self.accumulated < 100 {
            return Rollout::LeftOut;
        }
        self.accumulated -= 100;
        Rollout::Chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_hundred_calls_have_exactly_the_share(share in 0u8..=100, before in 0usize..300) {
            let mut counter = ShareCounter::default();
            for _ in 0..before {
                counter.next(Percent::new(share));
            }
            let chosen = (0..100).filter(|_| counter.next(Percent::new(share)) == Rollout::Chosen).count();
            prop_assert_eq!(chosen, usize::from(share));
        }
    }
}
