//! Where tests take hold: the clock by which instances age, and faults that no machine shows on demand.
//!
//! Invariant: in production the clock is the system's and no fault is injected; nothing else can be set here.

use crate::instance::Fault;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Both seams.
#[derive(Clone)]
pub struct Seams {
    /// Tells the time.
    pub clock: Clock,
    /// Goes wrong on demand.
    pub faults: Arc<dyn Faults>,
}

impl Default for Seams {
    fn default() -> Self {
        Self { clock: Clock::default(), faults: Arc::new(NoFaults) }
    }
}

/// A clock: the system's, or one that a test moves.
#[derive(Clone, Default)]
pub struct Clock {
    manual: Option<Arc<Mutex<Instant>>>,
}

impl Clock {
    /// A clock that stands still until it is moved.
    #[must_use]
    pub fn manual() -> Self {
        Self { manual: Some(Arc::new(Mutex::new(Instant::now()))) }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Instant {
        match &self.manual {
            None => Instant::now(),
            Some(now) => *now.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Moves a manual clock; the system's cannot be moved.
    pub fn advance(&self, by: Duration) {
        if let Some(now) = &self.manual {
            *now.lock().unwrap_or_else(PoisonError::into_inner) += by;
        }
    }
}

/// What can be made to go wrong.
pub trait Faults: Send + Sync {
    /// Asked before a standby is made: a fault means that it cannot be.
    fn standby(&self, _image: &str) -> Option<Fault> {
        None
    }

    /// Told on the lane when a call begins; a call stalls for as long as this does not return.
    fn call(&self, _lane: usize, _method: &str) {}
}

struct NoFaults;

impl Faults for NoFaults {}
