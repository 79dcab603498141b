//! What follows from an attempt: the end, or another one after a pause.
//!
//! Invariant: this is a function of its arguments; the time and the random number come from outside.

use super::attempt::Attempt;
use crate::jobs::DeliveryOutcome;
use std::time::Duration;

/// Longest pauses before each further attempt. The last one is repeated.
const PAUSES: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(2),
    Duration::from_mins(10),
    Duration::from_hours(1),
    Duration::from_hours(2),
    Duration::from_hours(4),
    Duration::from_hours(8),
    Duration::from_hours(8),
];
/// Shortest pause.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Longest pause that a receiver can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// How often and how long a delivery has been tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tried {
    /// Attempts before this one.
    pub(super) tries: u32,
    /// Time since the first one.
    pub(super) time: Duration,
}

/// Returns what follows from an attempt. `jitter`, from 0 to 1, is the share of the longest pause that is taken.
pub(super) fn outcome(
    attempt: &Attempt,
    tried: Tried,
    give_up_after: Duration,
    jitter: f64,
) -> DeliveryOutcome {
    let retry_after = match attempt {
        Attempt::Accepted => return DeliveryOutcome::Delivered,
        Attempt::Gone => return DeliveryOutcome::Dead { reason: attempt.to_string() },
        Attempt::Refused { retry_after, .. } => retry_after.unwrap_or_default().min(RETRY_AFTER_MAX),
        Attempt::Failed(_) => Duration::ZERO,
    };
    let reason = attempt.to_string();
    let left = give_up_after.saturating_sub(tried.time);
    if left.is_zero() {
        return DeliveryOutcome::Dead { reason };
    }
    let longest = PAUSES[(tried.tries as usize).min(PAUSES.len() - 1)];
    let pause = longest.mul_f64(jitter.clamp(0.0, 1.0)).max(PAUSE_MIN).max(retry_after);
    // The last attempt is at the end of the time, and not long before it.
    DeliveryOutcome::Retry { after: pause.min(left), reason }
}

#[cfg(test)]
mod tests {
    use super::{super::attempt::SendError, *};

    const DAY: Duration = Duration::from_hours(24);

    fn failed(tries: u32, time: Duration, jitter: f64) -> DeliveryOutcome {
        outcome(&Attempt::Failed(SendError::Timeout), Tried { tries, time }, DAY, jitter)
    }

    fn pause(outcome: DeliveryOutcome) -> Duration {
        match outcome {
            DeliveryOutcome::Retry { after, .. } => after,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn pauses_grow_and_are_spread() {
        assert_eq!(pause(failed(0, Duration::ZERO, 1.0)), Duration::from_secs(5));
        assert_eq!(pause(failed(3, Duration::ZERO, 1.0)), Duration::from_mins(10));
        assert_eq!(pause(failed(99, Duration::ZERO, 1.0)), Duration::from_hours(8));
        assert_eq!(pause(failed(3, Duration::ZERO, 0.5)), Duration::from_mins(5));
        assert_eq!(pause(failed(3, Duration::ZERO, 0.0)), PAUSE_MIN);
    }

    #[test]
    fn attempts_end_after_a_day() {
        let (mut time, mut tries) = (Duration::ZERO, 0);
        while let DeliveryOutcome::Retry { after, .. } = failed(tries, time, 1.0) {
            (time, tries) = (time + after, tries + 1);
        }
        assert_eq!((time, tries), (DAY, 10), "the last attempt is at the end of the day");
        assert!(matches!(failed(0, DAY, 1.0), DeliveryOutcome::Dead { .. }));
    }

    #[test]
    fn receivers_decide_within_bounds() {
        let refused = |status, seconds: u64| {
            let retry_after = Some(Duration::from_secs(seconds));
            let tried = Tried { tries: 0, time: Duration::ZERO };
            outcome(&Attempt::Refused { status, retry_after }, tried, DAY, 0.0)
        };
        assert_eq!(pause(refused(503, 90)), Duration::from_secs(90));
        assert_eq!(pause(refused(429, u64::MAX)), RETRY_AFTER_MAX);
        assert_eq!(pause(refused(500, 0)), PAUSE_MIN);
        let tried = Tried { tries: 0, time: Duration::ZERO };
        assert!(matches!(outcome(&Attempt::Gone, tried, DAY, 0.0), DeliveryOutcome::Dead { .. }));
        assert_eq!(outcome(&Attempt::Accepted, tried, DAY, 0.0), DeliveryOutcome::Delivered);
    }
}
