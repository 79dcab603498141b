//! Whether a swap that is due may happen now.
//!
//! Invariant: a swap that can wait needs a standby that is ready. Each reason for deferring the same swap is reported
//! once.

use crate::policy::{Policy, Reason, swap_limiter::SwapLimiter};
use std::{
    fmt,
    time::{Duration, Instant},
};

/// Why a swap is deferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deferral {
    /// No standby is ready.
    NoStandby,
    /// The instance is younger than `swap.life_min`.
    TooYoung,
    /// The image was swapped `swap.per_minute_max` times in this minute.
    SwapLimit,
}

impl Deferral {
    /// Name of the deferral in metrics.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::NoStandby => "no-standby",
            Self::TooYoung => "too-young",
            Self::SwapLimit => "swap-limit",
        }
    }

    /// The deferral as a sentence, for events and the log.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::NoStandby => "no standby is ready yet",
            Self::TooYoung => "the instance is younger than swap.life_min",
            Self::SwapLimit => "the image was swapped swap.per_minute_max times in this minute",
        }
    }
}

impl fmt::Display for Deferral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

/// What the gate has to know of a swap.
pub(super) struct Due {
    pub(super) reason: Reason,
    /// Whether a standby can be taken.
    pub(super) has_standby: bool,
    /// Age of the active instance, if there is one.
    pub(super) age: Option<Duration>,
}

/// Lets swaps through, or defers them.
#[derive(Default)]
pub(super) struct SwapGate {
    /// Why the swap that is due was deferred, as last reported.
    reported: Option<Deferral>,
}

impl SwapGate {
    /// Whether a swap for this reason has to pass the gate. All others happen at once.
    pub(super) fn is_guarded(reason: Reason) -> bool {
        reason.can_wait() || reason == Reason::Operator
    }

    /// Whether a swap may happen now.
    ///
    /// # Errors
    /// Returns why it is deferred.
    pub(super) fn check(
        due: &Due,
        policy: &Policy,
        limiter: &SwapLimiter,
        now: Instant,
    ) -> Result<(), Deferral> {
        if !Self::is_guarded(due.reason) {
            return Ok(());
        }
        if !due.has_standby {
            return Err(Deferral::NoStandby);
        }
        if due.reason == Reason::Operator {
            return Ok(());
        }
        if due.age.is_some_and(|age| age < policy.life_min) {
            return Err(Deferral::TooYoung);
        }
        if !limiter.try_acquire(now, policy.swaps_per_minute_max) {
            return Err(Deferral::SwapLimit);
        }
        Ok(())
    }

    /// Records a deferral; returns whether it is to be reported, because it differs from the last one.
    pub(super) fn defer(&mut self, deferral: Deferral) -> bool {
        self.reported.replace(deferral) != Some(deferral)
    }

    /// Records that a swap has happened: the next deferral is reported again.
    pub(super) fn swapped(&mut self) {
        self.reported = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YOUNG: Duration = Duration::from_secs(1);

    fn check(reason: Reason, has_standby: bool, policy: &Policy) -> Result<(), Deferral> {
        let due = Due { reason, has_standby, age: Some(YOUNG) };
        SwapGate::check(&due, policy, &SwapLimiter::new(), Instant::now())
    }

    #[test]
    fn only_swaps_that_can_wait_are_deferred() {
        let life_min = Policy { life_min: 2 * YOUNG, ..Policy::default() };
        let limited = Policy { swaps_per_minute_max: 0, ..Policy::default() };
        let plain = Policy::default();
        assert_eq!(check(Reason::Memory, false, &plain), Err(Deferral::NoStandby));
        assert_eq!(check(Reason::Memory, true, &life_min), Err(Deferral::TooYoung));
        assert_eq!(check(Reason::Memory, true, &limited), Err(Deferral::SwapLimit));
        assert_eq!(check(Reason::Memory, true, &plain), Ok(()));
        // An operator waits for a standby and for nothing else; a fault waits for nothing.
        assert_eq!(check(Reason::Operator, false, &plain), Err(Deferral::NoStandby));
        assert_eq!(check(Reason::Operator, true, &limited), Ok(()));
        assert_eq!(check(Reason::Trap, false, &limited), Ok(()));
    }

    #[test]
    fn each_deferral_is_reported_once_until_the_swap_happens() {
        let mut gate = SwapGate::default();
        assert!(gate.defer(Deferral::NoStandby) && !gate.defer(Deferral::NoStandby));
        assert!(gate.defer(Deferral::TooYoung) && gate.defer(Deferral::NoStandby));
        gate.swapped();
        assert!(gate.defer(Deferral::NoStandby));
    }
}
