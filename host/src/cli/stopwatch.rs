//! Splits a start into its parts.
//!
//! Invariant: the parts follow each other without gaps.

use std::time::{Duration, Instant};

/// Measures parts that follow each other.
pub(super) struct Stopwatch {
    begun: Instant,
    lap: Instant,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        let begun = Instant::now();
        Self { begun, lap: begun }
    }

    /// Ends a part, and returns how long it took in microseconds.
    pub(super) fn lap_us(&mut self) -> u64 {
        let now = Instant::now();
        let took = now - self.lap;
        self.lap = now;
        took.as_micros() as u64
    }

    /// Time since the beginning.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}
