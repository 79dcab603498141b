//! What calls add to an instance, by kind of call: a moving average that predicts the next one.
//!
//! Invariant: a kind is a method and a circuit of the image, never a client's text, so the kinds are bounded.

use std::collections::HashMap;

/// Weight of the newest call: the average follows a change within some ten calls.
const NEWEST: f64 = 0.2;

/// Moving averages of one service on one lane.
#[derive(Default)]
pub(crate) struct Growth {
    kinds: HashMap<String, HashMap<String, f64>>,
}

impl Growth {
    /// A call of that kind in a used instance added so much. The first call in a fresh one says nothing of
    /// the next: it sets up what later calls find.
    pub(crate) fn saw(&mut self, method: &str, circuit: &str, bytes: u64) {
        let bytes = bytes as f64;
        if let Some(mean) = self.kinds.get_mut(method).and_then(|circuits| circuits.get_mut(circuit)) {
            *mean += NEWEST * (bytes - *mean);
        } else {
            self.kinds.entry(method.into()).or_default().insert(circuit.into(), bytes);
        }
    }

    /// A call of that kind was not run where it would have shown: what is expected of it counts for less.
    pub(crate) fn doubts(&mut self, method: &str, circuit: &str) {
        if let Some(mean) = self.kinds.get_mut(method).and_then(|circuits| circuits.get_mut(circuit)) {
            *mean *= 1.0 - NEWEST;
        }
    }

    /// What a call of that kind is expected to add.
    pub(crate) fn of(&self, method: &str, circuit: &str) -> u64 {
        self.kinds.get(method).and_then(|circuits| circuits.get(circuit)).map_or(0, |mean| mean.ceil() as u64)
    }

    /// The most that any kind is expected to add.
    pub(crate) fn most(&self) -> u64 {
        let all = self.kinds.values().flat_map(HashMap::values);
        all.fold(0.0, |most: f64, mean| most.max(*mean)).ceil() as u64
    }

    /// Forgets everything: a new generation may grow otherwise.
    pub(crate) fn clear(&mut self) {
        self.kinds.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kinds_are_told_apart_and_changes_are_followed() {
        let mut growth = Growth::default();
        assert_eq!((growth.of("prove", "a"), growth.most()), (0, 0));
        for _ in 0..3 {
            growth.saw("prove", "a", 1000);
            growth.saw("prove", "b", 10);
        }
        assert_eq!((growth.of("prove", "a"), growth.of("prove", "b"), growth.of("echo", "")), (1000, 10, 0));
        for _ in 0..30 {
            growth.saw("prove", "a", 0);
        }
        assert!(growth.of("prove", "a") < 10, "{}", growth.of("prove", "a"));
        assert_eq!(growth.most(), 10);
    }

    proptest! {
        #[test]
        fn the_average_lies_within_what_was_seen(seen in prop::collection::vec(0u64..1 << 40, 1..50)) {
            let mut growth = Growth::default();
            for bytes in &seen {
                growth.saw("leak", "", *bytes);
            }
            let (least, most) = (seen.iter().min().expect("one"), seen.iter().max().expect("one"));
            prop_assert!((*least..=*most + 1).contains(&growth.of("leak", "")));
        }
    }
}
