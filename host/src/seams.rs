//! Seams for tests: the clock by which instances age, and faults that cannot be produced on demand.
//!
//! Invariant: in production the clock is the system's and no fault is injected.

use crate::{ids::LaneId, instance::Fault};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The seams of a dispatcher.
#[derive(Clone)]
pub struct Seams {
    /// The clock by which instances age.
    pub clock: Clock,
    /// Injected faults.
    pub faults: Arc<dyn Faults>,
}

impl Default for Seams {
    fn default() -> Self {
        Self { clock: Clock::default(), faults: Arc::new(NoFaults) }
    }
}

/// A clock: the system's, or one that a test advances.
#[derive(Clone, Default)]
pub struct Clock {
    manual: Option<Arc<Mutex<Instant>>>,
}

impl Clock {
    /// Creates a clock that stands still until it is advanced.
    #[must_use]
    pub fn manual() -> Self {
        Self { manual: Some(Arc::new(Mutex::new(Instant::now()))) }
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Instant {
        match &self.manual {
            None => Instant::now(),
            Some(now) => *now.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Advances a manual clock; has no effect on the system's.
    pub fn advance(&self, by: Duration) {
        if let Some(now) = &self.manual {
            *now.lock().unwrap_or_else(PoisonError::into_inner) += by;
        }
    }
}

/// Faults that a test can inject.
pub trait Faults: Send + Sync {
    /// Called before a standby is made; a returned fault makes it fail.
    fn standby(&self, _image: &str) -> Option<Fault> {
        None
    }

    /// Called on the lane when a call begins. The call stalls for as long as this does not return.
    fn call(&self, _lane: LaneId, _method: &str) {}
}

struct NoFaults;

impl Faults for NoFaults {}
