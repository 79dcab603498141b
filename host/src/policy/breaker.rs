//! A circuit breaker for each image: stops calls to an image that fails all of them.
//!
//! While closed, it counts consecutive failures; `breaker.failures` of them open it. While open, calls are rejected.
//! After `breaker.open_for` it is half open and admits one call as a probe: a success closes it, a failure opens it
//! again.
//!
//! Invariant: while half open, exactly one call is admitted, and its outcome alone moves the breaker. Calls that were
//! admitted earlier prove nothing.

use super::image_policy::Policy;
use serde::Serialize;
use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// State of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerState {
    /// Calls are admitted.
    Closed,
    /// One call is admitted as a probe.
    HalfOpen,
    /// Calls are rejected.
    Open,
}

enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen { probe: Probe, probe_until: Instant },
}

/// Number of a probe.
pub(crate) type Probe = u64;

/// A call that was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Admitted {
    pub(crate) transition: Transition,
    /// Number of the probe, if the call is one.
    pub(crate) probe: Option<Probe>,
}

/// The breaker of one image.
pub(crate) struct Breaker {
    state: Mutex<State>,
    /// Relaxed: the numbers only have to differ.
    probes: AtomicU64,
}

/// What an outcome changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transition {
    None,
    To(BreakerState),
}

impl Breaker {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State::Closed { failures: 0 }), probes: AtomicU64::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits a call, or returns how long to wait before the next one.
    pub(crate) fn admit(&self, now: Instant, policy: &Policy) -> Result<Admitted, Duration> {
        let mut state = self.lock();
        match *state {
            State::Closed { .. } => Ok(Admitted { transition: Transition::None, probe: None }),
            // A probe whose outcome never arrives must not keep the breaker half open for ever.
            State::Open { until } | State::HalfOpen { probe_until: until, .. } if now >= until => {
                let longest = policy.methods.values().filter_map(|method| method.deadline);
                let time = longest.fold(policy.deadline, Duration::max) + policy.breaker_open_for;
                let probe = self.probes.fetch_add(1, Ordering::Relaxed);
                *state = State::HalfOpen { probe, probe_until: now + time };
                Ok(Admitted { transition: Transition::To(BreakerState::HalfOpen), probe: Some(probe) })
            }
            State::Open { until } => Err(until - now),
            State::HalfOpen { .. } => Err(policy.breaker_open_for),
        }
    }

    /// Records that an admitted call was not run after all.
    pub(crate) fn withdrawn(&self, now: Instant, of: Option<Probe>) {
        let mut state = self.lock();
        if let State::HalfOpen { probe, .. } = *state
            && of == Some(probe)
        {
            *state = State::Open { until: now };
        }
    }

    /// Records that a call succeeded.
    pub(crate) fn succeeded(&self, of: Option<Probe>) -> Transition {
        let mut state = self.lock();
        match *state {
            State::Closed { failures: 0 } => Transition::None,
            State::Closed { .. } => {
                *state = State::Closed { failures: 0 };
                Transition::None
            }
            State::HalfOpen { probe, .. } if of == Some(probe) => {
                *state = State::Closed { failures: 0 };
                Transition::To(BreakerState::Closed)
            }
            // A call that was admitted before the breaker opened says nothing about the failures since.
            State::Open { .. } | State::HalfOpen { .. } => Transition::None,
        }
    }

    /// Records that a call failed through a fault of the image.
    pub(crate) fn failed(&self, now: Instant, policy: &Policy, of: Option<Probe>) -> Transition {
        let mut state = self.lock();
        let opens = match *state {
            State::Closed { ref mut failures } => {
                *failures += 1;
                *failures >= policy.breaker_failures
            }
            State::HalfOpen { probe, .. } => of == Some(probe),
            State::Open { .. } => false,
        };
        if opens {
            *state = State::Open { until: now + policy.breaker_open_for };
            Transition::To(BreakerState::Open)
        } else {
            Transition::None
        }
    }

    /// Returns the state: open until the next call would be admitted as a probe.
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
        assert_eq!(breaker.failed(now, &policy(), None), Transition::None);
        assert_eq!(breaker.failed(now, &policy(), None), Transition::None);
        assert_eq!(breaker.failed(now, &policy(), None), Transition::To(BreakerState::Open));
        breaker
    }

    fn probe(breaker: &Breaker, now: Instant) -> Option<Probe> {
        let Admitted { transition, probe } = breaker.admit(now, &policy()).expect("admitted");
        assert_eq!(transition, Transition::To(BreakerState::HalfOpen));
        assert!(probe.is_some());
        probe
    }

    #[test]
    fn consecutive_failures_open_it_and_a_success_resets_the_count() {
        let now = Instant::now();
        let breaker = Breaker::new();
        for _ in 0..10 {
            breaker.failed(now, &policy(), None);
            breaker.failed(now, &policy(), None);
            assert_eq!(breaker.succeeded(None), Transition::None);
        }
        assert_eq!(breaker.state(now), BreakerState::Closed);
        assert_eq!(opened(now).admit(now + Duration::from_secs(2), &policy()), Err(Duration::from_secs(3)));
    }

    #[test]
    fn half_open_it_admits_one_probe() {
        let now = Instant::now();
        let later = now + Duration::from_secs(5);
        for succeeds in [true, false] {
            let breaker = opened(now);
            let probe = probe(&breaker, later);
            assert!(breaker.admit(later, &policy()).is_err(), "a second probe");
            // Calls that were admitted before it opened end meanwhile.
            assert_eq!(breaker.succeeded(None), Transition::None);
            assert_eq!(breaker.failed(later, &policy(), None), Transition::None);
            breaker.withdrawn(later, None);
            assert!(breaker.admit(later, &policy()).is_err(), "still one probe");
            if succeeds {
                assert_eq!(breaker.succeeded(probe), Transition::To(BreakerState::Closed));
                assert!(breaker.admit(later, &policy()).is_ok_and(|admitted| admitted.probe.is_none()));
            } else {
                assert_eq!(breaker.failed(later, &policy(), probe), Transition::To(BreakerState::Open));
                assert_eq!(breaker.admit(later, &policy()), Err(Duration::from_secs(5)));
            }
        }
    }

    #[test]
    fn a_probe_that_never_ran_is_replaced() {
        let now = Instant::now();
        let later = now + Duration::from_secs(5);
        let breaker = opened(now);
        let first = probe(&breaker, later);
        breaker.withdrawn(later, first);
        let second = probe(&breaker, later);
        assert_ne!(first, second, "withdrawn");
        // The second one never reports an outcome.
        let much_later = later + Duration::from_secs(6);
        probe(&breaker, much_later);
        assert_eq!(breaker.succeeded(second), Transition::None, "the outcome arrives too late");
    }

    #[test]
    fn calls_under_way_when_it_opened_do_not_close_it() {
        let now = Instant::now();
        let breaker = opened(now);
        assert_eq!(breaker.succeeded(None), Transition::None);
        assert_eq!(breaker.failed(now, &policy(), None), Transition::None);
        assert_eq!(breaker.state(now), BreakerState::Open);
        // Readiness has to report half open, or no probe would ever be sent.
        assert_eq!(breaker.state(now + Duration::from_secs(5)), BreakerState::HalfOpen);
    }
}
