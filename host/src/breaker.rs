//! Keeps calls from an image that fails them all: a circuit breaker.
//!
//! Closed, it counts failures in a row. So many open it: calls are turned away. After a while it is half
//! open: one call probes; its success closes it, its failure opens it again.
//!
//! Invariant: half open, one call is let in, and it alone moves the breaker: calls from before prove nothing.

use crate::policy::Policy;
use serde::Serialize;
use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
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
    HalfOpen { probe: Probe, probe_until: Instant },
}

/// The number of a call that probes.
pub(crate) type Probe = u64;

/// A call that was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Admitted {
    pub(crate) turn: Turn,
    /// Its number, if it probes.
    pub(crate) probe: Option<Probe>,
}

/// The breaker of one image.
pub(crate) struct Breaker {
    state: Mutex<State>,
    /// Relaxed: numbers need to differ, nothing else hangs on their order.
    probes: AtomicU64,
}

/// What an outcome did to a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Same,
    To(BreakerState),
}

impl Breaker {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State::Closed { failures: 0 }), probes: AtomicU64::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a call in, or says how long to stay away.
    pub(crate) fn admit(&self, now: Instant, policy: &Policy) -> Result<Admitted, Duration> {
        let mut state = self.lock();
        match *state {
            State::Closed { .. } => Ok(Admitted { turn: Turn::Same, probe: None }),
            // A probe that never came back, its client having left the queue say, must not keep it shut.
            State::Open { until } | State::HalfOpen { probe_until: until, .. } if now >= until => {
                let longest = policy.methods.values().filter_map(|method| method.deadline);
                let time = longest.fold(policy.deadline, Duration::max) + policy.breaker_open_for;
                let probe = self.probes.fetch_add(1, Ordering::Relaxed);
                *state = State::HalfOpen { probe, probe_until: now + time };
                Ok(Admitted { turn: Turn::To(BreakerState::HalfOpen), probe: Some(probe) })
            }
            State::Open { until } => Err(until - now),
            State::HalfOpen { .. } => Err(policy.breaker_open_for),
        }
    }

    /// A call that was let in was not run after all.
    pub(crate) fn withdrawn(&self, now: Instant, of: Option<Probe>) {
        let mut state = self.lock();
        if let State::HalfOpen { probe, .. } = *state
            && of == Some(probe)
        {
            *state = State::Open { until: now };
        }
    }

    /// A call ended well.
    pub(crate) fn succeeded(&self, of: Option<Probe>) -> Turn {
        let mut state = self.lock();
        match *state {
            State::Closed { failures: 0 } => Turn::Same,
            State::Closed { .. } => {
                *state = State::Closed { failures: 0 };
                Turn::Same
            }
            State::HalfOpen { probe, .. } if of == Some(probe) => {
                *state = State::Closed { failures: 0 };
                Turn::To(BreakerState::Closed)
            }
            // A call that was admitted before it opened proves nothing against the failures since.
            State::Open { .. } | State::HalfOpen { .. } => Turn::Same,
        }
    }

    /// A call ended in a fault of the image.
    pub(crate) fn failed(&self, now: Instant, policy: &Policy, of: Option<Probe>) -> Turn {
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
        assert_eq!(breaker.failed(now, &policy(), None), Turn::Same);
        assert_eq!(breaker.failed(now, &policy(), None), Turn::Same);
        assert_eq!(breaker.failed(now, &policy(), None), Turn::To(BreakerState::Open));
        breaker
    }

    fn probe(breaker: &Breaker, now: Instant) -> Option<Probe> {
        let Admitted { turn, probe } = breaker.admit(now, &policy()).expect("let in");
        assert_eq!(turn, Turn::To(BreakerState::HalfOpen));
        assert!(probe.is_some());
        probe
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_does_not_let_them() {
        let now = Instant::now();
        let breaker = Breaker::new();
        for _ in 0..10 {
            breaker.failed(now, &policy(), None);
            breaker.failed(now, &policy(), None);
            assert_eq!(breaker.succeeded(None), Turn::Same);
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
            let probe = probe(&breaker, later);
            assert!(breaker.admit(later, &policy()).is_err(), "a second probe");
            // Calls from before it opened come to their ends meanwhile.
            assert_eq!(breaker.succeeded(None), Turn::Same);
            assert_eq!(breaker.failed(later, &policy(), None), Turn::Same);
            breaker.withdrawn(later, None);
            assert!(breaker.admit(later, &policy()).is_err(), "still one probe");
            if succeeds {
                assert_eq!(breaker.succeeded(probe), Turn::To(BreakerState::Closed));
                assert!(breaker.admit(later, &policy()).is_ok_and(|admitted| admitted.probe.is_none()));
            } else {
                assert_eq!(breaker.failed(later, &policy(), probe), Turn::To(BreakerState::Open));
                assert_eq!(breaker.admit(later, &policy()), Err(Duration::from_secs(5)));
            }
        }
    }

    #[test]
    fn a_probe_that_never_ran_is_made_good() {
        let now = Instant::now();
        let later = now + Duration::from_secs(5);
        let breaker = opened(now);
        let first = probe(&breaker, later);
        breaker.withdrawn(later, first);
        let second = probe(&breaker, later);
        assert_ne!(first, second, "withdrawn");
        // One that is simply never heard of again.
        let much_later = later + Duration::from_secs(6);
        probe(&breaker, much_later);
        assert_eq!(breaker.succeeded(second), Turn::Same, "it comes after all, and too late");
    }

    #[test]
    fn what_was_under_way_when_it_opened_does_not_close_it() {
        let now = Instant::now();
        let breaker = opened(now);
        assert_eq!(breaker.succeeded(None), Turn::Same);
        assert_eq!(breaker.failed(now, &policy(), None), Turn::Same);
        assert_eq!(breaker.state(now), BreakerState::Open);
        // Who asks whether to send a call is told to, or no probe would ever come.
        assert_eq!(breaker.state(now + Duration::from_secs(5)), BreakerState::HalfOpen);
    }
}
