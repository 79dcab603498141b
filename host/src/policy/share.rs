//! Which calls of a gradual rollout are served under the configured policy.
//!
//! Invariant: of any hundred consecutive calls of a lane, `swap.share` are chosen, spread evenly; the choice is
//! deterministic.

use super::percent::Percent;

/// Chooses calls, one after another.
#[derive(Default)]
pub(crate) struct ShareCounter {
    /// Hundredths that have accumulated since the last chosen call.
    accumulated: u8,
}

impl ShareCounter {
    /// Whether the next call is served under the policy, given the share that is configured now.
    pub(crate) fn next(&mut self, share: Percent) -> bool {
        self.accumulated += share.hundredths();
        let is_chosen = self.accumulated >= 100;
        if is_chosen {
            self.accumulated -= 100;
        }
        is_chosen
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
            let chosen = (0..100).filter(|_| counter.next(Percent::new(share))).count();
            prop_assert_eq!(chosen, usize::from(share));
        }
    }
}
