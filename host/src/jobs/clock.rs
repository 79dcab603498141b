//! The two clocks of an engine, injected so that tests can set them.
//!
//! Invariant: leases and pauses before a retry follow the monotonic clock only, so that a step of the wall clock neither
//! ends nor extends them. What has to survive a restart follows the wall clock.

use super::Timestamp;
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Tells the time.
pub trait JobClock: Send + Sync {
    /// The time of the wall clock. It may step in both directions.
    fn wall(&self) -> Timestamp;

    /// The time since some moment before the engine was opened. It never decreases.
    fn monotonic(&self) -> Duration;
}

/// The clocks of the operating system.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { origin: Instant::now() }
    }
}

impl JobClock for SystemClock {
    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// Clocks that a test moves.
#[derive(Debug)]
pub struct ManualClock {
    times: Mutex<(Timestamp, Duration)>,
}

impl ManualClock {
    /// Clocks that stand still until they are moved.
    #[must_use]
    pub fn at(wall: Timestamp) -> Self {
        Self { times: Mutex::new((wall, Duration::ZERO)) }
    }

    /// Lets time pass on both clocks.
    pub fn advance(&self, time: Duration) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        *times = (times.0.after(time), times.1 + time);
    }

    /// Steps the wall clock alone, in either direction.
    pub fn set_wall(&self, wall: Timestamp) {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).0 = wall;
    }
}

impl JobClock for ManualClock {
    fn wall(&self) -> Timestamp {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn monotonic(&self) -> Duration {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}
