//! Keeps calls from an image that fails them all: a circuit breaker.
//!
//! Closed, it counts failures in a row. So many open it: calls are turned away. After a while it is half
//! open: one call probes; its success closes it, its failure opens it again.
//!
//! Invariant: half open, exactly one call is under way.

use crate::policy::Policy;
use serde::Serialize;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerState {
    /// Calls go through.
    Closed,
    /// One call probes.
    HalfOpen,
    /// Calls are turned away.
    Open,
}

enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen { probe_until: Instant },
}

/// The breaker of one image.
pub(crate) struct Breaker {
    state: Mutex<State>,
}

/// What an outcome did to a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Same,
    To(BreakerState),
}

impl Breaker {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State::Closed { failures: 0 }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a call in, or says how long to stay away.
    pub(crate) fn admit(&self, now: Instant, policy: &Policy) -> Result<Turn, Duration> {
        let mut state = self.lock();
        match *state {
            State::Closed { .. } => Ok(Turn::Same),
            // A probe that never came back, its client having left the queue say, must not keep it shut.
            State::Open { until } | State::HalfOpen { probe_until: until } if now >= until => {
                let longest = policy.methods.values().filter_map(|method| method.deadline);
                let probe = longest.fold(policy.deadline, Duration::max) + policy.breaker_open_for;
                *state = State::HalfOpen { probe_until: now + probe };
                Ok(Turn::To(BreakerState::HalfOpen))
            }
            State::Open { until } => Err(until - now),
            State::HalfOpen { .. } => Err(policy.breaker_open_for),
        }
    }

    /// A call that was let in was not run after all.
    pub(crate) fn withdrawn(&self, now: Instant) {
        let mut state = self.lock();
        if let State::HalfOpen { .. } = *state {
            *state = State::Open { until: now };
        }
    }

    /// A call ended well.
    pub(crate) fn succeeded(&self) -> Turn {
        let mut state = self.lock();
        match *state {
            State::Closed { failures: 0 } => Turn::Same,
            State::Closed { .. } => {
                *state = State::Closed { failures: 0 };
                Turn::Same
            }
            // A call that was admitted before it opened proves nothing against the failures since.
            State::Open { .. } => Turn::Same,
            State::HalfOpen { .. } => {
                *state = State::Closed { failures: 0 };
                Turn::To(BreakerState::Closed)
            }
        }
    }

    /// A call ended in a fault of the image.
    pub(crate) fn failed(&self, now: Instant, policy: &Policy) -> Turn {
        let mut state = self.lock();
        let opens = match *state {
            State::Closed { ref mut failures } => {
                *failures += 1;
                *failures >= policy.breaker_failures
            }
            State::HalfOpen { .. } => true,
            State::Open { .. } => false,
        };
        if opens {
            *state = State::Open { until: now + policy.breaker_open_for };
            Turn::To(BreakerState::Open)
        } else {
            Turn::Same
        }
    }

    /// Where it stands: open, until the next call would be let in to probe.
    pub(crate) fn state(&self, now: Instant) -> BreakerState {
        match *self.lock() {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { until } if now < until => BreakerState::Open,
            State::Open { .. } | State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy {
            breaker_failures: 3,
            breaker_open_for: Duration::from_secs(5),
            deadline: Duration::from_secs(1),
            ..Policy::default()
        }
    }

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::new();
        assert_eq!(breaker.failed(now, &policy()), Turn::Same);
        assert_eq!(breaker.failed(now, &policy()), Turn::Same);
        assert_eq!(breaker.failed(now, &policy()), Turn::To(BreakerState::Open));
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_does_not_let_them() {
        let now = Instant::now();
        let breaker = Breaker::new();
        for _ in 0..10 {
            breaker.failed(now, &policy());
            breaker.failed(now, &policy());
            assert_eq!(breaker.succeeded(), Turn::Same);
        }
        assert_eq!(breaker.state(now), BreakerState::Closed);
        assert_eq!(opened(now).admit(now + Duration::from_secs(2), &policy()), Err(Duration::from_secs(3)));
    }

    #[test]
    fn half_open_it_lets_one_call_probe() {
        let now = Instant::now();
        let later = now + Duration::from_secs(5);
        for succeeds in [true, false] {
            let breaker = opened(now);
            assert_eq!(breaker.admit(later, &policy()), Ok(Turn::To(BreakerState::HalfOpen)));
            assert!(breaker.admit(later, &policy()).is_err(), "a second probe");
            if succeeds {
                assert_eq!(breaker.succeeded(), Turn::To(BreakerState::Closed));
                assert_eq!(breaker.admit(later, &policy()), Ok(Turn::Same));
            } else {
                assert_eq!(breaker.failed(later, &policy()), Turn::To(BreakerState::Open));
                assert_eq!(breaker.admit(later, &policy()), Err(Duration::from_secs(5)));
            }
        }
    }

    #[test]
    fn a_probe_that_never_ran_is_made_good() {
        let now = Instant::now();
        let later = now + Duration::from_secs(5);
        let breaker = opened(now);
        assert!(breaker.admit(later, &policy()).is_ok());
        breaker.withdrawn(later);
        assert_eq!(breaker.admit(later, &policy()), Ok(Turn::To(BreakerState::HalfOpen)), "withdrawn");
        // One that is simply never heard of again.
        let much_later = later + Duration::from_secs(6);
        assert_eq!(breaker.admit(much_later, &policy()), Ok(Turn::To(BreakerState::HalfOpen)), "lost");
    }

    #[test]
    fn what_was_under_way_when_it_opened_does_not_close_it() {
        let now = Instant::now();
        let breaker = opened(now);
        assert_eq!(breaker.succeeded(), Turn::Same);
        assert_eq!(breaker.failed(now, &policy()), Turn::Same);
        assert_eq!(breaker.state(now), BreakerState::Open);
        // Who asks whether to send a call is told to, or no probe would ever come.
        assert_eq!(breaker.state(now + Duration::from_secs(5)), BreakerState::HalfOpen);
    }
}
