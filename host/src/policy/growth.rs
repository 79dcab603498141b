//! How much memory calls add to an instance: a moving average for each kind of call, which predicts the next one.
//!
//! Invariant: a kind is a method and a circuit of the image, never a client's text, so the number of kinds is bounded.

use std::collections::HashMap;

/// Weight of the newest call: the average follows a change within some ten calls.
const NEWEST: f64 = 0.2;

/// The moving averages of one service on one lane.
#[derive(Default)]
pub(crate) struct Growth {
    kinds: HashMap<String, HashMap<String, f64>>,
}

impl Growth {
    /// Records what a call added to a used instance. The first call in a fresh instance is not recorded: it sets up
    /// what later calls find, and says nothing about them.
    pub(crate) fn record(&mut self, method: &str, circuit: &str, bytes: u64) {
        let bytes = bytes as f64;
        if let Some(mean) = self.kinds.get_mut(method).and_then(|circuits| circuits.get_mut(circuit)) {
            *mean += NEWEST * (bytes - *mean);
        } else {
            self.kinds.entry(method.into()).or_default().insert(circuit.into(), bytes);
        }
    }

    /// Lowers the prediction for a kind of call after it caused a swap: the call then runs in a fresh instance, where
    /// its growth is not recorded. Without this, one large call would be predicted for ever.
    pub(crate) fn decay(&mut self, method: &str, circuit: &str) {
        if let Some(mean) = self.kinds.get_mut(method).and_then(|circuits| circuits.get_mut(circuit)) {
            *mean *= 1.0 - NEWEST;
        }
    }

    /// Returns what a call of that kind is expected to add, in bytes.
    pub(crate) fn expected(&self, method: &str, circuit: &str) -> u64 {
        self.kinds.get(method).and_then(|circuits| circuits.get(circuit)).map_or(0, |mean| mean.ceil() as u64)
    }

    /// Returns the most that any kind of call is expected to add, in bytes.
    pub(crate) fn largest(&self) -> u64 {
        let all = self.kinds.values().flat_map(HashMap::values);
        all.fold(0.0, |largest: f64, mean| largest.max(*mean)).ceil() as u64
    }

    /// Forgets everything: a new generation may grow differently.
    pub(crate) fn clear(&mut self) {
        self.kinds.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kinds_are_distinguished_and_changes_are_followed() {
        let mut growth = Growth::default();
        assert_eq!((growth.expected("prove", "a"), growth.largest()), (0, 0));
        for _ in 0..3 {
            growth.record("prove", "a", 1000);
            growth.record("prove", "b", 10);
        }
        assert_eq!(
            (growth.expected("prove", "a"), growth.expected("prove", "b"), growth.expected("echo", "")),
            (1000, 10, 0)
        );
        for _ in 0..30 {
            growth.record("prove", "a", 0);
        }
        assert!(growth.expected("prove", "a") < 10, "{}", growth.expected("prove", "a"));
        assert_eq!(growth.largest(), 10);
    }

    proptest! {
        #[test]
        fn the_average_lies_within_what_was_recorded(seen in prop::collection::vec(0u64..1 << 40, 1..50)) {
            let mut growth = Growth::default();
            for bytes in &seen {
                growth.record("leak", "", *bytes);
            }
            let (least, most) = (seen.iter().min().expect("one"), seen.iter().max().expect("one"));
            prop_assert!((*least..=*most + 1).contains(&growth.expected("leak", "")));
        }
    }
}
