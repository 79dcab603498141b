//! How long calls of each kind take, for the order of jobs and for those who wait.
//!
//! Invariant: the number of kinds is bounded, whatever circuits come and go.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Kinds of calls that are remembered.
const KINDS_MAX: usize = 4096;
/// Weight of the last call in the moving average.
const WEIGHT: f64 = 0.25;

/// A moving average for each service, method and circuit.
#[derive(Default)]
pub struct Estimates(Mutex<HashMap<[String; 3], f64>>);

impl Estimates {
    /// Records how long a call took.
    pub(super) fn record(&self, service: &str, method: &str, circuit: &str, took: Duration) {
        let mut means = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = [service, method, circuit].map(str::to_owned);
        if means.len() >= KINDS_MAX && !means.contains_key(&kind) {
            // They are learned again by one call each.
            means.clear();
        }
        let took = took.as_secs_f64();
        means.entry(kind).and_modify(|mean| *mean += WEIGHT * (took - *mean)).or_insert(took);
    }

    /// Returns how long a call is expected to take; `None` if none of its kind has ended yet.
    #[must_use]
    pub fn of(&self, service: &str, method: &str, circuit: &str) -> Option<Duration> {
        let means = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        means.get(&[service, method, circuit].map(str::to_owned)).map(|mean| Duration::from_secs_f64(*mean))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_follows_what_calls_take() {
        let estimates = Estimates::default();
        assert_eq!(estimates.of("plonk", "prove", "x"), None);
        estimates.record("plonk", "prove", "x", Duration::from_secs(8));
        assert_eq!(estimates.of("plonk", "prove", "x"), Some(Duration::from_secs(8)));
        estimates.record("plonk", "prove", "x", Duration::from_secs(4));
        assert_eq!(estimates.of("plonk", "prove", "x"), Some(Duration::from_secs(7)));
        assert_eq!(estimates.of("plonk", "prove", "y"), None, "kinds are apart");
    }

    #[test]
    fn the_number_of_kinds_is_bounded() {
        let estimates = Estimates::default();
        for circuit in 0..=KINDS_MAX {
            estimates.record("plonk", "prove", &circuit.to_string(), Duration::from_secs(1));
        }
        assert_eq!(estimates.0.lock().expect("not poisoned").len(), 1);
    }
}
